"""hopeval: context retrieval → shards → inference → merge → scoring → report, for multi-hop questions."""

from snakemake.utils import min_version

min_version("9.0")


# Satisfies --lint where jobs run in the environment of Snakemake itself; used with --sdm apptainer.
container: "docker://python:3.12-slim"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/retrieve.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/leaderboard.csv",
        f"{RESULTS}/provenance.json",


onsuccess:
    show_leaderboard()
