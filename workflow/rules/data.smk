"""Questions and models.

In:  dataset.questions (path or URL), the readers' models
Out: results/<dataset>/{questions,passages,skipped}.jsonl, dataset.json; resources/models/…
"""


rule prepare:
    """A dataset as question and passage records."""
    input:
        as_data(CONFIG.dataset.questions),
    output:
        questions=f"{RESULTS}/questions.jsonl",
        passages=f"{RESULTS}/passages.jsonl",
        skipped=f"{RESULTS}/skipped.jsonl",
        summary=f"{RESULTS}/dataset.json",
    log:
        f"{RESULTS}/logs/prepare.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare.tsv"
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("prepare"),
        code=code("prepare"),
        questions=Unrecorded(shlex.quote(located(CONFIG.dataset.questions))),
        stamp=stamp(CONFIG.dataset.questions),
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


rule embedded_model:
    """SmolLM2-135M-Instruct, the small model of the embedded default (Apache-2.0)."""
    output:
        EMBEDDED_MODEL,
    log:
        "resources/models/SmolLM2-135M-Instruct.log",
    localrule: True
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("fetch"),
    shell:
        "{params.hopeval} --embedded --output {output:q} > {log:q} 2>&1"


rule hub_model:
    """A model file from the Hugging Face hub, at a fixed revision."""
    output:
        "resources/models/{owner}/{repo}/{revision}/{file}",
    log:
        "resources/models/{owner}/{repo}/{revision}/{file}.log",
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
