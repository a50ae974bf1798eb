"""Ranked passages.

In:  questions.jsonl, passages.jsonl, dataset.corpus
Out: results/<dataset>/contexts/<retriever>.{jsonl,metrics.json}
"""


rule retrieve:
    """Passages for each question, best first, and how good the ranking is."""
    input:
        questions=rules.prepare.output.questions,
        passages=rules.prepare.output.passages,
        corpus=as_data(CONFIG.dataset.corpus),
    output:
        contexts=f"{RESULTS}/contexts/{{retriever}}.jsonl",
        metrics=f"{RESULTS}/contexts/{{retriever}}.metrics.json",
    log:
        f"{RESULTS}/logs/retrieve/{{retriever}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/retrieve/{{retriever}}.tsv"
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("retrieve"),
        code=lambda wildcards: code("retrieve", retriever_class(wildcards)),
        settings=lambda wildcards: as_json(CONFIG.retrievers[wildcards.retriever]),
        stamp=stamp(CONFIG.dataset.corpus),
        corpus=Unrecorded(
            f"--corpus {shlex.quote(located(CONFIG.dataset.corpus))}"
            if CONFIG.dataset.corpus
            else ""
        ),
    shell:
        "{params.hopeval} --retriever {wildcards.retriever} --settings {params.settings:q}"
        " --questions {input.questions:q} --passages {input.passages:q} {params.corpus}"
        " --output {output.contexts:q} --metrics {output.metrics:q} > {log:q} 2>&1"
