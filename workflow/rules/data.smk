"""Questions, passages and models.

In:  dataset.questions and dataset.corpus (paths or URLs), the readers' models
Out: results/<dataset>/{questions,passages,skipped}.jsonl, passages.jsonl.index, dataset.json;
     resources/corpora/…, resources/models/…
"""


rule prepare:
    """A dataset as question and passage records."""
    input:
        [as_data(path) for path in question_files()],
    output:
        questions=f"{RESULTS}/questions.jsonl",
        passages=f"{RESULTS}/passages.jsonl",
        index=f"{RESULTS}/passages.jsonl.index",
        skipped=f"{RESULTS}/skipped.jsonl",
        summary=f"{RESULTS}/dataset.json",
    log:
        f"{RESULTS}/logs/prepare.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("prepare"),
        code=code("prepare"),
        questions=Unrecorded(shlex.quote(located(CONFIG.dataset.questions))),
        stamp=[stamp(path) for path in question_files()],
        url=CONFIG.dataset.questions if is_url(CONFIG.dataset.questions) else None,
        format=CONFIG.dataset.format,
        most=(
            f"--max-questions {CONFIG.dataset.max_questions}"
            if CONFIG.dataset.max_questions
            else ""
        ),
        sha256=f"--sha256 {CONFIG.dataset.sha256}" if CONFIG.dataset.sha256 else "",
        folder=lambda wildcards, output: Path(output.summary).parent,
    shell:
        "{params.hopeval} --questions {params.questions} --format {params.format} {params.most} {params.sha256}"
        " --output {params.folder:q} > {log:q} 2>&1"


if CONFIG.dataset.corpus:

    rule corpus:
        """What there is to search as one file of passages, with a sidecar by which it opens at once."""
        input:
            as_data(CONFIG.dataset.corpus.source),
        output:
            passages=f"{CORPUS}/passages.jsonl",
            index=f"{CORPUS}/passages.jsonl.index",
            summary=f"{CORPUS}/corpus.json",
        log:
            f"{RESULTS}/logs/corpus.log",
        benchmark:
            f"{CORPUS}/corpus.tsv"
        localrule: CPU_STAGES_ARE_LOCAL
        conda:
            "../../envs/workflow.yaml"
        params:
            hopeval=command("corpus"),
            code=code("corpus"),
            source=Unrecorded(shlex.quote(located(CONFIG.dataset.corpus.source))),
            stamp=stamp(CONFIG.dataset.corpus.source),
            format=CONFIG.dataset.corpus.format,
            sha256=(
                f"--sha256 {CONFIG.dataset.corpus.sha256}" if CONFIG.dataset.corpus.sha256 else ""
            ),
            folder=lambda wildcards, output: Path(output.summary).parent,
        shell:
            "{params.hopeval} --source {params.source} --format {params.format} {params.sha256}"
            " --output {params.folder:q} --log {log:q}"


rule embedded_model:
    """SmolLM2-135M-Instruct, the small model of the embedded default (Apache-2.0)."""
    output:
        EMBEDDED_MODEL,
    log:
        f"{RESULTS}/logs/fetch/SmolLM2-135M-Instruct.log",
    localrule: True
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("fetch"),
    shell:
        "{params.hopeval} --embedded --output {output:q} > {log:q} 2>&1"


rule hub_model:
    """A whole model from the Hugging Face hub, at a fixed revision."""
    output:
        directory("resources/models/{owner}/{repo}@{revision}"),
    log:
        f"{RESULTS}/logs/fetch/{{owner}}/{{repo}}@{{revision}}.log",
    wildcard_constraints:
        owner=r"[\w.-]+",
        repo=r"[\w.-]+",
        revision=r"[\w.-]+",
    localrule: True
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("fetch"),
    shell:
        "{params.hopeval} --repo {wildcards.owner:q}/{wildcards.repo:q} --revision {wildcards.revision:q}"
        " --output {output:q} > {log:q} 2>&1"


rule hub_file:
    """A model that is one file of the Hugging Face hub, at a fixed revision."""
    output:
        "resources/models/{owner}/{repo}/{revision}/{file}",
    log:
        f"{RESULTS}/logs/fetch/{{owner}}/{{repo}}/{{revision}}/{{file}}.log",
    wildcard_constraints:
        owner=r"[\w.-]+",
        repo=r"[\w.-]+",
        revision=r"[^/]+",
    localrule: True
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("fetch"),
    shell:
        "{params.hopeval} --repo {wildcards.owner:q}/{wildcards.repo:q} --revision {wildcards.revision:q}"
        " --file {wildcards.file:q} --output {output:q} > {log:q} 2>&1"


rule prefetch:
    """All that comes from the network: on a machine that has one, before compute nodes that have none."""
    input:
        rules.prepare.output,
        f"{CORPUS}/passages.jsonl",
        all_models,
    localrule: True
