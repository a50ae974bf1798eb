"""Further hops of iterative retrievers: a reader has been asked what to search for next.

In:  readers/<reader>/hops/<retriever>-<hop>/{requests,responses}.jsonl, questions.jsonl, what retrieve searches
Out: readers/<reader>/hops/<retriever>-<hop>/{questions.jsonl, queries.json, run.trec, contexts.jsonl, metrics.json}
"""

# Answers are no queries. Where nothing is iterative this matches nothing.
A_HOP = "|".join(map(re.escape, HOPS)) or "(?!)"


rule queries:
    """What to search for in the next hop, as the reader has it."""
    input:
        questions=rules.prepare.output.questions,
        requests=f"{WORK}/requests.jsonl",
        responses=f"{WORK}/responses.jsonl",
    output:
        questions=f"{WORK}/questions.jsonl",
        counts=f"{WORK}/queries.json",
    log:
        f"{RESULTS}/logs/queries/{{work}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/queries/{{work}}.tsv"
    wildcard_constraints:
        work=A_HOP,
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("queries"),
        code=code("queries"),
        hop=lambda wildcards: Path(wildcards.work).name,
    shell:
        "{params.hopeval} --hop {params.hop} --questions {input.questions:q} --requests {input.requests:q}"
        " --responses {input.responses:q} --output {output.questions:q} --counts {output.counts:q} > {log:q} 2>&1"


rule hop:
    """Passages for these queries."""
    input:
        questions=rules.queries.output.questions,
        passages=rules.prepare.output.passages,
        own_index=rules.prepare.output.index,
        corpus=f"{CORPUS}/passages.jsonl",
        corpus_index=f"{CORPUS}/passages.jsonl.index",
        models=lambda wildcards: models_of_retriever(searching(wildcards)),
        files=lambda wildcards: retrieval_files(searching(wildcards)),
        indexes=lambda wildcards: [
            f"{RESULTS}/indexes/{name}.json" for name in indexed(searching(wildcards).retriever)
        ],
    output:
        contexts=f"{WORK}/contexts.jsonl",
        metrics=f"{WORK}/metrics.json",
        run=f"{WORK}/run.trec",
    log:
        f"{RESULTS}/logs/hop/{{work}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/hop/{{work}}.tsv"
    wildcard_constraints:
        work=A_HOP,
    localrule: RETRIEVAL_IS_LOCAL
    conda:
        lambda wildcards: environment_of_retriever(searching(wildcards))
    threads: lambda wildcards: CONFIG.retrievers[searching(wildcards).retriever].threads
    resources:
        gpu=lambda wildcards: gpus_of_retriever(searching(wildcards)),
        mem_mb=lambda wildcards, attempt: of_retriever("mem_mb")(searching(wildcards), attempt),
        runtime=lambda wildcards, attempt: of_retriever("runtime")(searching(wildcards), attempt),
    params:
        hopeval=lambda wildcards: retriever_command("retrieve")(searching(wildcards)),
        code=lambda wildcards: retrieval_code(searching(wildcards)),
        identities=lambda wildcards: retrieval_identities(searching(wildcards)),
        models=lambda wildcards: retriever_model_stamps(searching(wildcards)),
        stamps=lambda wildcards: retrieval_stamps(searching(wildcards)),
        name=lambda wildcards: searching(wildcards).retriever,
        settings=lambda wildcards, input: own_section(searching(wildcards), input),
        bases=lambda wildcards, input: bases_option(searching(wildcards), input),
        indexes=named_indexes,
        kept=kept_folder,
    shell:
        "{params.hopeval} --retriever {params.name} --settings {params.settings} {params.bases}"
        " --questions {input.questions:q} --passages {input.passages:q} --corpus {input.corpus:q}"
        " --indexes {params.indexes}"
        " --output {output.contexts:q} --run-file {output.run:q} --metrics {output.metrics:q}"
        " --kept {params.kept:q} --granted-gpus {resources.gpu} > {log:q} 2>&1"
