"""All experiments side by side, what made them, and one page to read it all in.

In:  experiments/<name>/{metrics.json, questions.csv, predictions.jsonl}, contexts/, readers/, dataset.json
Out: results/<dataset>/{leaderboard.*, comparisons.csv, recall.*, provenance.json, report.html}
"""


rule leaderboard:
    """Who is better, and is that more than chance: leaderboard, comparisons, recall curve."""
    input:
        questions=rules.prepare.output.questions,
        metrics=expand(rules.score.output.metrics, experiment=EXPERIMENTS),
        tables=expand(rules.score.output.table, experiment=EXPERIMENTS),
        predictions=expand(rules.predict.output.records, experiment=EXPERIMENTS),
        responses=expand(rules.merge.output, work=WORKS_IN_USE),
        contexts=expand(rules.retrieve.output.contexts, retriever=RETRIEVERS),
    output:
        board=report(
            f"{RESULTS}/leaderboard.csv",
            caption="../report/leaderboard.rst",
            category="Results",
            labels={"what": "leaderboard", "form": "table"},
        ),
        comparisons=report(
            f"{RESULTS}/comparisons.csv",
            caption="../report/comparisons.rst",
            category="Results",
            labels={"what": "comparisons", "form": "table"},
        ),
        figure=report(
            f"{RESULTS}/leaderboard.svg",
            caption="../report/leaderboard.rst",
            category="Results",
            labels={"what": "leaderboard", "form": "figure"},
        ),
        recall_figure=report(
            f"{RESULTS}/recall.svg",
            caption="../report/recall.rst",
            category="Retrieval",
            labels={"what": "recall at k", "form": "figure"},
        ),
        recall=report(
            f"{RESULTS}/recall.csv",
            caption="../report/recall.rst",
            category="Retrieval",
            labels={"what": "recall at k", "form": "table"},
        ),
        papers=multiext(f"{RESULTS}/leaderboard", ".md", ".tex", ".png"),
        recall_png=f"{RESULTS}/recall.png",
    log:
        f"{RESULTS}/logs/leaderboard.log",
    benchmark:
        f"{RESULTS}/benchmarks/leaderboard.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("leaderboard"),
        code=code("leaderboard"),
        experiments=as_json(what_is_compared()),
        results=results_folder,
    shell:
        "{params.hopeval} --results {params.results:q} --experiments {params.experiments:q} > {log:q} 2>&1"


rule provenance:
    """Configuration, code, packages, models, templates, machine and durations of these results."""
    input:
        leaderboard=rules.leaderboard.output.board,
        dataset=rules.prepare.output.summary,
        models=all_models,
    output:
        f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("provenance"),
        config=quoted(CONFIG),
        results=results_folder,
        models=named_models,
        templates=named_templates(),
    shell:
        "{params.hopeval} --config {params.config} --results {params.results:q} --models {params.models}"
        " --templates {params.templates} --output {output:q} > {log:q} 2>&1"


rule report:
    """Everything in one page, to be opened from disk."""
    input:
        board=rules.leaderboard.output.board,
        comparisons=rules.leaderboard.output.comparisons,
        recall=rules.leaderboard.output.recall,
        provenance=rules.provenance.output,
        questions=rules.prepare.output.questions,
        requests=expand(f"{RESULTS}/readers/{{reader}}/requests.jsonl", reader=ANSWERING),
        responses=rules.leaderboard.input.responses,
        tables=rules.leaderboard.input.tables,
        contexts=rules.leaderboard.input.contexts,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/report.rst",
            category="Results",
            labels={"what": "everything", "form": "page"},
        ),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    localrule: CPU_STAGES_ARE_LOCAL
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("report"),
        code=code("report"),
        passages=CONFIG.report.passages,
        results=results_folder,
    shell:
        "{params.hopeval} --results {params.results:q} --passages {params.passages} --output {output:q}"
        " > {log:q} 2>&1"
