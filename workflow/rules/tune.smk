"""How a reader is run best on this machine: snakemake tune.

In:  results/<dataset>/readers/<reader>/requests.jsonl, the readers' models
Out: results/<dataset>/tuning/<reader>/{tuning.json, tuning.svg, tuning.png}, tuning/tuned.yaml
"""

TUNING = f"{RESULTS}/tuning"


# What was measured stays so when the code or its time changes; --forcerun tune_reader measures anew.
rule tune_reader:
    """All measurements of a reader, with nothing else beside them."""
    input:
        requests=lambda wildcards: f"{RESULTS}/readers/{first_work(wildcards.reader)}/requests.jsonl",
        model=lambda wildcards: model_path(wildcards.reader),
    output:
        f"{TUNING}/{{reader}}/tuning.json",
    log:
        f"{RESULTS}/logs/tune/{{reader}}.log",
    conda:
        environment_of
    # All that there is, so that no other job runs at the same time; on a cluster what --set-threads says.
    threads: lambda wildcards: workflow.resource_settings.cores or CONFIG.readers[wildcards.reader].threads
    resources:
        gpu=lambda wildcards: gpus_for_tuning(wildcards.reader),
        mem_mb=lambda wildcards: CONFIG.readers[wildcards.reader].mem_mb,
        runtime=int(CONFIG.tune.minutes) + 60,
    params:
        hopeval=command("tune"),
        settings=lambda wildcards: quoted(CONFIG.readers[wildcards.reader]),
        model=model_option,
        minutes=Unrecorded(str(CONFIG.tune.minutes / len(READERS_IN_USE))),
        repeats=Unrecorded(str(CONFIG.tune.repeats)),
    shell:
        "{params.hopeval} --reader {wildcards.reader} --settings {params.settings} {params.model}"
        " --requests {input.requests:q} --minutes {params.minutes} --repeats {params.repeats} --threads {threads}"
        " $([ {resources.gpu} = 0 ] || echo --gpus {resources.gpu})"
        " --output {output:q} --measure-only 2>&1 | tee {log:q}"


# Without an output of its own: what was measured is shown again whenever it is asked for.
rule tune:
    """What was measured of all readers in use, drawn, and the configuration that it recommends."""
    input:
        expand(rules.tune_reader.output, reader=READERS_IN_USE),
    log:
        f"{RESULTS}/logs/tune.log",
    localrule: True
    conda:
        "../../envs/workflow.yaml"
    params:
        hopeval=command("tune"),
        tuned=lambda wildcards, input: Path(str(input[0])).parents[1] / "tuned.yaml",
    shell:
        "{params.hopeval} --measured {input:q} --write {params.tuned:q} 2>&1 | tee {log:q}"
