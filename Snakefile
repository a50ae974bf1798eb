"""hopeval: context retrieval → shards → inference → merge → scoring → report, for multi-hop questions."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/retrievers.smk"
include: "workflow/rules/readers.smk"
include: "workflow/rules/experiments.smk"


# Used with --sdm apptainer alone.
container: CONFIG.container


include: "workflow/rules/data.smk"
include: "workflow/rules/retrieve.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/hops.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/tune.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/leaderboard.csv",
        f"{RESULTS}/comparisons.csv",
        f"{RESULTS}/provenance.json",
        f"{RESULTS}/report.html",


onstart:
    refuse_shared_gpus_on_clusters()


onsuccess:
    show_leaderboard()


onerror:
    show_failures()
