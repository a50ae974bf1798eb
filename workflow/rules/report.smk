"""All experiments side by side, and what made them.

In:  experiments/<name>/metrics.json, dataset.json
Out: results/<dataset>/{leaderboard.csv, provenance.json}
"""


rule report:
    """The leaderboard."""
    input:
        expand(rules.score.output.metrics, experiment=EXPERIMENTS),
    output:
        f"{RESULTS}/leaderboard.csv",
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("report"),
        code=code("report"),
    shell:
        "{params.hopeval} --metrics {input:q} --output {output:q} > {log:q} 2>&1"


rule provenance:
    """Configuration, code, packages, models, templates, machine and durations of these results."""
    input:
        leaderboard=rules.report.output,
        dataset=rules.prepare.output.summary,
        models=lambda wildcards: [path for name in READERS for path in model_path(name)],
    output:
        f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("provenance"),
        config=quoted(CONFIG),
        results=lambda wildcards, input: Path(input.dataset).parent,
        models=named_models,
        templates=Unrecorded(
            " ".join(f"{name}={shlex.quote(path)}" for name, path in TEMPLATES.items())
        ),
    shell:
        "{params.hopeval} --config {params.config} --results {params.results:q} --models {params.models}"
        " --templates {params.templates} --output {output:q} > {log:q} 2>&1"
