"""Requests and responses.

In:  contexts/<retriever>.jsonl, questions.jsonl, the readers' models, the prompts' templates
Out: results/<dataset>/readers/<reader>/{requests.jsonl, shards/, journal/, responses/, responses.jsonl}
"""

READER = f"{RESULTS}/readers/{{reader}}"


workflow.scattergather(**{name: reader.shards for name, reader in READERS.items()})

for name in set(workflow.resource_settings.overwrite_scatter) - set(READERS):
    print(
        f"hopeval: warning: --set-scatter {name}: no reader in use has this name; there are: {', '.join(READERS)}",
        file=sys.stderr,
    )

# Gathered here and not in merge: until that looks, another module may have a reader of the same name.
RESPONSES = {
    name: getattr(gather, name)(f"{RESULTS}/readers/{name}/responses/{{scatteritem}}.jsonl")
    for name in READERS
}


rule plan:
    """Every distinct prompt that all experiments of a reader need."""
    input:
        questions=rules.prepare.output.questions,
        contexts=contexts_of,
        model=lambda wildcards: model_path(wildcards.reader),
    output:
        f"{READER}/requests.jsonl",
    log:
        f"{RESULTS}/logs/plan/{{reader}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plan/{{reader}}.tsv"
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("plan"),
        code=code("plan"),
        experiments=lambda wildcards: as_json(of_reader(wildcards.reader)),
        reader=what_answers_depend_on,
        model_stamp=model_stamp,
        prompts=prompt_digests,
        reader_settings=lambda wildcards: quoted(CONFIG.readers[wildcards.reader]),
        prompt_settings=lambda wildcards: quoted(prompts_of(wildcards.reader)),
        contexts=named_contexts,
        model=model_option,
    shell:
        "{params.hopeval} --reader {wildcards.reader} --settings {params.reader_settings} {params.model}"
        " --prompts {params.prompt_settings} --experiments {params.experiments:q}"
        " --questions {input.questions:q} --contexts {params.contexts} --output {output:q} > {log:q} 2>&1"


for reader in READERS:

    rule:
        name:
            f"shard_{reader}"
        # One rule a reader: each has its own number of shards.
        input:
            f"{RESULTS}/readers/{reader}/requests.jsonl",
        output:
            getattr(scatter, reader)(f"{RESULTS}/readers/{reader}/shards/{{scatteritem}}.jsonl"),
        log:
            f"{RESULTS}/logs/shard/{reader}.log",
        benchmark:
            f"{RESULTS}/benchmarks/shard/{reader}.tsv"
        conda:
            "../../envs/workflow.yaml"
        params:
            hopeval=command("shard"),
            code=code("shard"),
        shell:
            "{params.hopeval} --requests {input:q} --output {output:q} > {log:q} 2>&1"


rule infer:
    """One shard's responses: what the journal has is not asked again."""
    input:
        requests=f"{READER}/shards/{{scatteritem}}.jsonl",
        model=lambda wildcards: model_path(wildcards.reader),
    output:
        f"{READER}/responses/{{scatteritem}}.jsonl",
    log:
        f"{RESULTS}/logs/infer/{{reader}}/{{scatteritem}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/infer/{{reader}}/{{scatteritem}}.tsv"
    conda:
        environment_of
    threads: lambda wildcards: CONFIG.readers[wildcards.reader].threads
    resources:
        # Jobs that share a GPU are held back by the lease alone: Snakemake counts whole ones.
        gpu=lambda wildcards: (
            CONFIG.readers[wildcards.reader].gpus
            if CONFIG.readers[wildcards.reader].share == 1
            else 0
        ),
    params:
        hopeval=command("infer"),
        code=lambda wildcards: code("infer", engine_class(wildcards)),
        settings=lambda wildcards: quoted(CONFIG.readers[wildcards.reader]),
        journal=journal_folder,
        model=model_option,
    shell:
        "{params.hopeval} --reader {wildcards.reader} --settings {params.settings} {params.model}"
        " --requests {input.requests:q} --shard {wildcards.scatteritem} --journal {params.journal:q}"
        " --output {output:q} --threads {threads} --granted-gpus {resources.gpu} --log {log:q}"


rule merge:
    """Exactly one response for each request of a reader."""
    input:
        requests=f"{READER}/requests.jsonl",
        responses=lambda wildcards: RESPONSES[wildcards.reader],
    output:
        f"{READER}/responses.jsonl",
    log:
        f"{RESULTS}/logs/merge/{{reader}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge/{{reader}}.tsv"
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("merge"),
        code=code("merge"),
    shell:
        "{params.hopeval} --requests {input.requests:q} --responses {input.responses:q} --output {output:q} > {log:q} 2>&1"
