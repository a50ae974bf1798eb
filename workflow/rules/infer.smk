"""Requests and responses.

In:  contexts/<retriever>.jsonl, questions.jsonl, the readers' models, the prompts' templates
Out: results/<dataset>/readers/<work>/{requests.jsonl, shards/, journal/, responses/, responses.jsonl}

A work is <reader>, for its experiments, or <reader>/hops/<retriever>-<hop>, for the queries of an iterative
retriever's hop. All answers of a reader go to the one journal in <reader>/journal/.
"""

WORK = f"{RESULTS}/readers/{{work}}"


workflow.scattergather(**{name: reader.shards for name, reader in READERS.items()})

for name in set(workflow.resource_settings.overwrite_scatter) - set(READERS):
    print(
        f"hopeval: warning: --set-scatter {name}: no reader in use has this name; there are: {', '.join(READERS)}",
        file=sys.stderr,
    )

# Gathered here and not in merge: until that looks, another module may have a reader of the same name.
RESPONSES = {
    work: getattr(gather, work.partition("/")[0])(
        f"{RESULTS}/readers/{work}/responses/{{scatteritem}}.jsonl"
    )
    for work in WORKS
}


rule plan:
    """Every distinct prompt that all experiments of a reader need, or one hop of a retriever."""
    input:
        questions=rules.prepare.output.questions,
        contexts=contexts_of,
        model=lambda wildcards: model_path(reader_of(wildcards)),
    output:
        f"{WORK}/requests.jsonl",
    log:
        f"{RESULTS}/logs/plan/{{work}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/plan/{{work}}.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("plan"),
        code=code("plan"),
        experiments=lambda wildcards: as_json(asked_for(wildcards.work)),
        reader=reader_of,
        identity=what_answers_depend_on,
        model_stamp=model_stamp,
        prompts=prompt_digests,
        reader_settings=lambda wildcards: quoted(CONFIG.readers[reader_of(wildcards)]),
        prompt_settings=lambda wildcards: quoted(prompts_of(wildcards.work)),
        contexts=named_contexts,
        model=model_option,
    shell:
        "{params.hopeval} --reader {params.reader} --settings {params.reader_settings} {params.model}"
        " --prompts {params.prompt_settings} --experiments {params.experiments:q}"
        " --questions {input.questions:q} --contexts {params.contexts} --output {output:q} > {log:q} 2>&1"


for reader in READERS:

    rule:
        name:
            f"shard_{reader}"
        # One rule a reader: each has its own number of shards.
        input:
            f"{WORK}/requests.jsonl",
        output:
            getattr(scatter, reader)(f"{RESULTS}/readers/{{{{work}}}}/shards/{{scatteritem}}.jsonl"),
        log:
            f"{RESULTS}/logs/shard/{{work}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/shard/{{work}}.tsv"
        wildcard_constraints:
            work="|".join(re.escape(work) for work in WORKS if work.partition("/")[0] == reader),
        localrule: CPU_STAGES_ARE_LOCAL
        conda:
            "../../envs/workflow.yaml"
        params:
            hopeval=command("shard"),
            code=code("shard"),
            claims=claims_folder,
        shell:
            "{params.hopeval} --requests {input:q} --output {output:q} --journal {params.claims:q} > {log:q} 2>&1"


rule infer:
    """One shard's responses: what the journal has is not asked again."""
    input:
        requests=f"{WORK}/shards/{{scatteritem}}.jsonl",
        model=lambda wildcards: model_path(reader_of(wildcards)),
    output:
        f"{WORK}/responses/{{scatteritem}}.jsonl",
    log:
        f"{RESULTS}/logs/infer/{{work}}/{{scatteritem}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/infer/{{work}}/{{scatteritem}}.tsv"
    conda:
        environment_of
    threads: lambda wildcards: CONFIG.readers[reader_of(wildcards)].threads
    resources:
        # Jobs that share a GPU are held back by the lease alone: Snakemake counts whole ones.
        gpu=lambda wildcards: (
            CONFIG.readers[reader_of(wildcards)].gpus
            if CONFIG.readers[reader_of(wildcards)].share == 1
            else 0
        ),
        mem_mb=for_each_attempt("mem_mb"),
        runtime=for_each_attempt("runtime"),
    params:
        hopeval=lambda wildcards: command("infer", CONFIG.readers[reader_of(wildcards)].python),
        code=lambda wildcards: code("infer", engine_class(wildcards)),
        settings=lambda wildcards: quoted(CONFIG.readers[reader_of(wildcards)]),
        reader=reader_of,
        journal=journal_folder,
        claims=claims_folder,
        model=model_option,
    shell:
        "{params.hopeval} --reader {params.reader} --settings {params.settings} {params.model}"
        " --requests {input.requests:q} --shard {wildcards.scatteritem} --journal {params.journal:q}"
        " --claims {params.claims:q} --output {output:q} --threads {threads} --granted-gpus {resources.gpu} --log {log:q}"


rule merge:
    """Exactly one response for each request of a work."""
    input:
        requests=f"{WORK}/requests.jsonl",
        responses=lambda wildcards: RESPONSES[wildcards.work],
    output:
        f"{WORK}/responses.jsonl",
    log:
        f"{RESULTS}/logs/merge/{{work}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/merge/{{work}}.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("merge"),
        code=code("merge"),
    shell:
        "{params.hopeval} --requests {input.requests:q} --responses {input.responses:q} --output {output:q} > {log:q} 2>&1"
