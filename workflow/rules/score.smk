"""Answers and their scores.

In:  readers/<reader>/{requests,responses}.jsonl, contexts/<retriever>.jsonl, questions.jsonl
Out: results/<dataset>/experiments/<name>/{predictions.json, predictions.jsonl, results.jsonl, metrics.json, questions.csv}
"""

EXPERIMENT = f"{RESULTS}/experiments/{{experiment}}"


rule predict:
    """What the reader answered, in the official format."""
    input:
        questions=rules.prepare.output.questions,
        skipped=rules.prepare.output.skipped,
        requests=of_experiment(f"{RESULTS}/readers/{{reader}}/requests.jsonl"),
        responses=of_experiment(f"{RESULTS}/readers/{{reader}}/responses.jsonl"),
    output:
        official=f"{EXPERIMENT}/predictions.json",
        records=f"{EXPERIMENT}/predictions.jsonl",
        results=f"{EXPERIMENT}/results.jsonl",
    log:
        f"{RESULTS}/logs/predict/{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{experiment}}.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("predict"),
        code=code("predict"),
        folder=lambda wildcards, output: Path(output.official).parent,
    shell:
        "{params.hopeval} --experiment {wildcards.experiment} --questions {input.questions:q} --skipped {input.skipped:q}"
        " --requests {input.requests:q} --responses {input.responses:q} --output {params.folder:q} > {log:q} 2>&1"


rule score:
    """The official metrics, and where it went wrong."""
    input:
        questions=rules.prepare.output.questions,
        predictions=rules.predict.output.official,
        records=rules.predict.output.records,
        contexts=of_experiment(f"{RESULTS}/contexts/{{retriever}}.jsonl"),
    output:
        metrics=f"{EXPERIMENT}/metrics.json",
        table=f"{EXPERIMENT}/questions.csv",
    log:
        f"{RESULTS}/logs/score/{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/{{experiment}}.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("score"),
        code=code("score"),
        top_k=top_k_option,
    shell:
        "{params.hopeval} --questions {input.questions:q} --predictions {input.predictions:q} --records {input.records:q}"
        " --contexts {input.contexts:q} {params.top_k} --output {output.metrics:q} --table {output.table:q} > {log:q} 2>&1"
