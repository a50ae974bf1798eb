"""What the jobs of readers take: their models, prompts, contexts and what is asked of them.

In:  what common.smk defines
Out: the functions that make the inputs and params of infer.smk and tune.smk
"""


def reader_of(wildcards):
    """The reader that a job is for, or that does a work."""
    return getattr(wildcards, "reader", None) or wildcards.work.partition("/")[0]


def first_work(reader):
    """What a reader is asked for first of all: its experiments, where it has any."""
    return next(work for work in WORKS if work.partition("/")[0] == reader)


def asked_for(work):
    """What a work is for, as plan takes it: the experiments of a reader, or one hop of a retriever."""
    if work in HOPS:
        name, hop = HOPS[work]
        settings = CONFIG.retrievers[name]
        # With a dot, which no retriever's name has: one may be called like another's hop.
        found = [settings.of, *(f"{name}.{earlier}" for earlier in range(2, hop))]
        return {f"{name}-{hop}": {"retriever": found, "top_k": settings.passages, "prompt": name}}
    return {
        e.name: {"retriever": [e.retriever], "top_k": e.top_k, "prompt": e.prompt}
        for e in EXPERIMENTS.values()
        if e.reader == work
    }


def model_path(reader):
    """Where a reader's model lies or is fetched to, as path_of has it."""
    return path_of(CONFIG.readers[reader].weights)


def model_stamp(wildcards):
    """What tells that a reader's own model file was replaced; None for one that a rule fetches, checked."""
    model = CONFIG.readers[reader_of(wildcards)].weights
    fetched = model == EMBEDDED_MODEL or isinstance(model, HubModel)
    return None if fetched else [size_and_time(path) for path in model_path(reader_of(wildcards))]


def engine_class(wildcards):
    engine = CONFIG.readers[reader_of(wildcards)].engine
    return ENGINES.get(engine, engine)


def contexts_of(wildcards):
    """The contexts that a work's prompts are made of."""
    return list(contexts_by_name(wildcards.work).values())


def contexts_by_name(work):
    """The same by the names of what was found: retrievers, and as ``<retriever>.<hop>`` earlier hops."""
    names = dict.fromkeys(name for each in asked_for(work).values() for name in each["retriever"])
    earlier = Path(f"{RESULTS}/readers/{work}").parent
    return {
        name: (
            f"{earlier}/{name.replace('.', '-')}/contexts.jsonl"
            if "." in name
            else f"{RESULTS}/contexts/{name}.jsonl"
        )
        for name in names
    }


def named_contexts(wildcards, input):
    names = contexts_by_name(wildcards.work)
    return as_pairs(zip(names, input.contexts, strict=True))


def model_option(wildcards, input):
    return Unrecorded(f"--model {shlex.quote(str(input.model))}" if input.model else "")


def prompts_of(work):
    """The prompts of a work, as plan takes them."""
    if work in HOPS:
        name, _ = HOPS[work]
        prompt = CONFIG.retrievers[name].prompt
        path = template_path(prompt.template)
        return {name: {"template": path, "output": prompt.output, "asks": "query"}}
    used = {each["prompt"] for each in asked_for(work).values()}
    return {p: {"template": TEMPLATES[p], "output": CONFIG.prompts[p].output} for p in sorted(used)}


def prompt_digests(wildcards):
    """What of the prompts determines the requests: not where their templates lie."""
    return as_json(
        {
            name: [p["output"], file_sha256(p["template"])]
            for name, p in prompts_of(wildcards.work).items()
        }
    )


def what_answers_depend_on(wildcards):
    """The reader's settings that are part of the requests; others may change without a new plan."""
    reader = CONFIG.readers[reader_of(wildcards)]
    return as_json(
        {
            **reader.identity,
            **{key: file_sha256(path) for key, path in reader.files.items()},
            "sampling": reader.sampling.model_dump(),
            "context_window": reader.context_window,
        }
    )


def claims_folder(wildcards, output):
    """Where jobs say which shard of a work they are at: beside the responses, wherever a module's ``prefix`` puts
    those."""
    return Path(output[0]).parents[1] / "journal"


def journal_folder(wildcards, output):
    """A reader's answers, whatever it was asked for."""
    return Path(output[0]).parents[len(Path(wildcards.work).parts)] / "journal"


def environment_of(wildcards):
    """The conda environment of a reader's engine (--sdm conda); an engine of one's own has the workflow's."""
    engine = CONFIG.readers[reader_of(wildcards)].engine
    return f"../../envs/{engine if engine in ENGINES else 'workflow'}.yaml"


def for_each_attempt(key):
    """A resource of a reader's shards: what its section says, and as much more for each further attempt."""
    return lambda wildcards, attempt: getattr(CONFIG.readers[reader_of(wildcards)], key) * attempt


def gpus_for_tuning(reader):
    """All GPUs that Snakemake may count (--resources gpu=8), for a reader that needs some."""
    if not CONFIG.readers[reader].gpus:
        return 0
    granted = workflow.global_resources.get("gpu")
    return granted or CONFIG.readers[reader].gpus


def refuse_shared_gpus_on_clusters():
    """Jobs on a cluster have GPUs of their own: ``share`` would leave each of them without any."""
    for name, reader in READERS_IN_USE.items():
        if workflow.non_local_exec and reader.gpus and reader.share > 1:
            print(
                f"hopeval: readers.{name}.share: found {reader.share}, but jobs on a cluster cannot share GPUs;"
                " set share: 1, or run Snakemake without a cluster's executor inside one allocation",
                file=sys.stderr,
            )
            sys.exit(2)
