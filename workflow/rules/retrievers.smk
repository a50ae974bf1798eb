"""What the jobs of retrievers take: their sections, models, indexes and what they are built on.

In:  what common.smk defines
Out: the functions that make the inputs and params of retrieve.smk and hops.smk
"""


def with_beneath(name):
    """A retriever and all that it is built on, which comes first."""
    return [*beneath(name, CONFIG.retrievers), name]


def with_models(names):
    """Of these retrievers those that have a model, each with where that lies or is fetched to."""
    return {name: path for name in names for path in path_of(CONFIG.retrievers[name].model_folder)}


def models_of_retriever(wildcards):
    return list(with_models(with_beneath(wildcards.retriever)).values())


def retriever_model_stamps(wildcards):
    """What tells that a model's folder was changed; None for one that a rule fetches."""
    return {
        name: (
            None
            if isinstance(CONFIG.retrievers[name].model_folder, HubModel)
            else size_and_time(path)
        )
        for name, path in with_models(with_beneath(wildcards.retriever)).items()
    }


def libraries_of_retriever(wildcards):
    """The versions of what makes words or vectors, as far as this interpreter has them."""
    return as_json(library_versions(CONFIG.retrievers[wildcards.retriever]))


def local_sections(wildcards, input):
    """The sections of a retriever and of all beneath it, whose models are the folders on this machine."""
    names = with_beneath(wildcards.retriever)
    folders = dict(zip(with_models(names), input.models, strict=True))
    sections = {name: CONFIG.retrievers[name].model_dump() for name in names}
    return {
        name: section | ({"model": str(folders[name])} if name in folders else {})
        for name, section in sections.items()
    }


def own_section(wildcards, input):
    """A retriever's section as its verbs take it."""
    return quoted(local_sections(wildcards, input)[wildcards.retriever])


def searching_for(wildcards):
    """The retrievers that one searches through: in a hop all beneath it, for which nothing has been searched."""
    name = wildcards.retriever
    in_a_hop = isinstance(wildcards, SimpleNamespace)
    return with_beneath(name) if in_a_hop else searched(name, CONFIG.retrievers)


def in_use(wildcards, key):
    """What a retriever's section says to a key that not all have, or else the sections that it searches through."""
    names = reversed(searching_for(wildcards))
    return next(filter(None, (getattr(CONFIG.retrievers[name], key, None) for name in names)), None)


def gpus_of_retriever(wildcards):
    return in_use(wildcards, "gpus") or 0


def retriever_command(verb):
    """How a job calls a verb, in the environment of the retriever's model where it has one."""
    return lambda wildcards: command(verb, in_use(wildcards, "python"))


def environment_of_retriever(wildcards):
    """The conda environment of a retriever (--sdm conda): another one where a model is needed."""
    models = with_models(searching_for(wildcards))
    return f"../../envs/{'dense' if models else 'workflow'}.yaml"


def vectors_of(wildcards):
    """What all jobs that embed the passages for a retriever report; none where it has no vectors."""
    section = CONFIG.retrievers[wildcards.retriever]
    shards = section.shards if section.EMBEDDED else 0
    folder = f"{RESULTS}/embeddings/{wildcards.retriever}"
    return [f"{folder}/{shard}-of-{shards}.json" for shard in range(1, shards + 1)]


def retriever_class(name):
    kind = CONFIG.retrievers[name].kind
    return KINDS.get(kind, kind)


def retrieval_code(wildcards):
    """The digest of a retriever's code and of that of all that it is built on: it may search through them."""
    names = with_beneath(wildcards.retriever)
    return code("retrieve", *map(retriever_class, names))


def retrieval_identities(wildcards):
    """What of a retriever's settings, and of those beneath it, determines what is found."""
    names = with_beneath(wildcards.retriever)
    return as_json({name: CONFIG.retrievers[name].identity for name in names})


def retrieval_files(wildcards):
    """The user's files that a retriever reads."""
    return [as_named(path) for path in CONFIG.retrievers[wildcards.retriever].files.values()]


def retrieval_stamps(wildcards):
    """What tells that one of them was replaced."""
    return [size_and_time(path) for path in CONFIG.retrievers[wildcards.retriever].files.values()]


def indexed(name):
    """Of a retriever and all that it is built on, those that have an index."""
    return [each for each in with_beneath(name) if CONFIG.retrievers[each].INDEXED]


def bases_option(wildcards, input):
    """The sections of all that a retriever is built on, as retrieve takes them."""
    sections = local_sections(wildcards, input)
    del sections[wildcards.retriever]
    return Unrecorded(f"--bases {shlex.quote(as_json(sections))}" if sections else "")


def named_indexes(wildcards, input):
    return by_stem(input.indexes)


def named_runs(wildcards, input):
    return by_stem(input.runs)


def searching(wildcards):
    """The retriever that searches in a hop, as the functions of retrieve take it."""
    name, _ = HOPS[wildcards.work]
    return SimpleNamespace(retriever=CONFIG.retrievers[name].of)


def further_hops(wildcards):
    """The run files of an iterative retriever's hops from the second on."""
    return [
        f"{RESULTS}/readers/{work}/run.trec"
        for work, (name, _) in HOPS.items()
        if name == wildcards.retriever
    ]


def named_hops(wildcards, input):
    return as_pairs(enumerate(input.hops, 2))


def by_stem(paths):
    """Files that are called after retrievers, as NAME=PATH for a command."""
    return as_pairs((Path(path).stem, path) for path in paths)


def of_retriever(key):
    """A resource of a retriever's jobs: what its section says, and as much more for each further attempt."""
    return lambda wildcards, attempt: getattr(CONFIG.retrievers[wildcards.retriever], key) * attempt


def kept_folder(wildcards, output):
    """Where retrievers keep what a killed job need not do again: among the results."""
    up = len(Path(wildcards.work).parts) + 1 if hasattr(wildcards, "work") else 1
    return Unrecorded(str(Path(output[0]).parents[up] / "kept"))


def index_store(wildcards, output, up=3):
    """The folder of all indexes, wherever a module's ``prefix`` puts the results, so many folders ``up``."""
    return Unrecorded(str(Path(output[0]).parents[up] / "resources" / "indexes"))
