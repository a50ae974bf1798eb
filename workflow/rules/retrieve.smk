"""Ranked passages.

In:  questions.jsonl, passages.jsonl, the corpus (see data.smk)
Out: results/<dataset>/embeddings/<retriever>/<i>-of-<n>.json, indexes/<retriever>.json, runs/<retriever>.trec, contexts/<retriever>.{jsonl,metrics.json};
     resources/indexes/…
"""

# A model has its work done as a job of its own: it wants memory, cores and perhaps a GPU.
RETRIEVAL_IS_LOCAL = CPU_STAGES_ARE_LOCAL and not any(
    section.model_folder for section in CONFIG.retrievers.values()
)


rule embed:
    """The vectors of one share of the passages: those that are there already are not made again."""
    input:
        corpus=f"{CORPUS}/passages.jsonl",
        corpus_index=f"{CORPUS}/passages.jsonl.index",
        models=models_of_retriever,
    output:
        f"{RESULTS}/embeddings/{{retriever}}/{{shard}}.json",
    log:
        f"{RESULTS}/logs/embed/{{retriever}}/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/embed/{{retriever}}/{{shard}}.tsv"
    wildcard_constraints:
        shard=r"\d+-of-\d+",
    conda:
        environment_of_retriever
    threads: lambda wildcards: CONFIG.retrievers[wildcards.retriever].threads
    resources:
        gpu=gpus_of_retriever,
        mem_mb=of_retriever("mem_mb"),
        runtime=of_retriever("runtime"),
    params:
        hopeval=retriever_command("embed"),
        code=code("embed"),
        identity=lambda wildcards: as_json(CONFIG.retrievers[wildcards.retriever].vectors_identity),
        models=retriever_model_stamps,
        libraries=libraries_of_retriever,
        settings=own_section,
        store=lambda wildcards, output: index_store(wildcards, output, up=4),
    shell:
        "{params.hopeval} --retriever {wildcards.retriever} --settings {params.settings} --corpus {input.corpus:q}"
        " --shard {wildcards.shard} --store {params.store:q} --output {output:q} --threads {threads}"
        " --granted-gpus {resources.gpu} --log {log:q}"


rule index:
    """What a retriever searches: made once for a corpus and settings, and found again by content."""
    input:
        corpus=f"{CORPUS}/passages.jsonl",
        corpus_index=f"{CORPUS}/passages.jsonl.index",
        vectors=vectors_of,
        models=models_of_retriever,
    output:
        f"{RESULTS}/indexes/{{retriever}}.json",
    log:
        f"{RESULTS}/logs/index/{{retriever}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/index/{{retriever}}.tsv"
    localrule: RETRIEVAL_IS_LOCAL
    conda:
        environment_of_retriever
    threads: lambda wildcards: CONFIG.retrievers[wildcards.retriever].threads
    resources:
        mem_mb=of_retriever("mem_mb"),
        runtime=of_retriever("runtime"),
    params:
        hopeval=retriever_command("index"),
        code=lambda wildcards: code("index", retriever_class(wildcards.retriever)),
        identity=lambda wildcards: as_json(CONFIG.retrievers[wildcards.retriever].index_identity),
        models=retriever_model_stamps,
        libraries=libraries_of_retriever,
        settings=own_section,
        store=index_store,
    shell:
        "{params.hopeval} --retriever {wildcards.retriever} --settings {params.settings}"
        " --corpus {input.corpus:q} --store {params.store:q} --output {output:q} > {log:q} 2>&1"


rule retrieve:
    """Passages for each question, best first, and how good the ranking is."""
    input:
        questions=rules.prepare.output.questions,
        passages=rules.prepare.output.passages,
        own_index=rules.prepare.output.index,
        corpus=f"{CORPUS}/passages.jsonl",
        corpus_index=f"{CORPUS}/passages.jsonl.index",
        models=models_of_retriever,
        files=retrieval_files,
        indexes=lambda wildcards: [
            f"{RESULTS}/indexes/{name}.json" for name in indexed(wildcards.retriever)
        ],
        runs=lambda wildcards: [
            f"{RESULTS}/runs/{name}.trec"
            for name in beneath(wildcards.retriever, CONFIG.retrievers)
        ],
        run_metrics=lambda wildcards: [
            f"{RESULTS}/contexts/{name}.metrics.json"
            for name in beneath(wildcards.retriever, CONFIG.retrievers)
        ],
        hops=further_hops,
        hop_metrics=lambda wildcards: [
            str(Path(run).with_name("metrics.json")) for run in further_hops(wildcards)
        ],
    output:
        contexts=f"{RESULTS}/contexts/{{retriever}}.jsonl",
        metrics=f"{RESULTS}/contexts/{{retriever}}.metrics.json",
        run=f"{RESULTS}/runs/{{retriever}}.trec",
    log:
        f"{RESULTS}/logs/retrieve/{{retriever}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/retrieve/{{retriever}}.tsv"
    localrule: RETRIEVAL_IS_LOCAL
    conda:
        environment_of_retriever
    threads: lambda wildcards: CONFIG.retrievers[wildcards.retriever].threads
    resources:
        gpu=gpus_of_retriever,
        mem_mb=of_retriever("mem_mb"),
        runtime=of_retriever("runtime"),
    params:
        hopeval=retriever_command("retrieve"),
        code=retrieval_code,
        identities=retrieval_identities,
        models=retriever_model_stamps,
        stamps=retrieval_stamps,
        settings=own_section,
        bases=bases_option,
        indexes=named_indexes,
        runs=named_runs,
        hops=named_hops,
        kept=kept_folder,
    shell:
        "{params.hopeval} --retriever {wildcards.retriever} --settings {params.settings} {params.bases}"
        " --questions {input.questions:q} --passages {input.passages:q} --corpus {input.corpus:q}"
        " --indexes {params.indexes} --runs {params.runs} --hops {params.hops}"
        " --run-metrics {input.run_metrics:q} --hop-metrics {input.hop_metrics:q}"
        " --output {output.contexts:q} --run-file {output.run:q} --metrics {output.metrics:q}"
        " --kept {params.kept:q} --granted-gpus {resources.gpu} > {log:q} 2>&1"
