"""What scoring, comparing and reporting take: the experiments, and all models and templates behind them.

In:  what common.smk and retrievers.smk define
Out: the functions that make the inputs and params of score.smk and report.smk
"""


def of_experiment(pattern):
    """An input function: the pattern with the experiment's reader and retriever in it."""
    return lambda wildcards: pattern.format(**EXPERIMENTS[wildcards.experiment]._asdict())


def top_k_option(wildcards):
    k = EXPERIMENTS[wildcards.experiment].top_k
    return "" if k is None else f"--top-k {k}"


def named_models(wildcards, input):
    """The models by name, as provenance takes them."""
    names = [name for name, model in used_models() for _ in path_of(model)]
    return as_pairs(zip(names, input.models, strict=True))


def used_models():
    """The models of readers and retrievers that are in use, each with the name that provenance gives it."""
    retrievers = dict.fromkeys(name for each in RETRIEVERS for name in with_beneath(each))
    return [
        *((name, CONFIG.readers[name].weights) for name in READERS_IN_USE),
        *((f"retrievers.{name}", CONFIG.retrievers[name].model_folder) for name in retrievers),
    ]


def all_models(wildcards):
    """Where all of them lie or are fetched to."""
    return [path for _, model in used_models() for path in path_of(model)]


def named_templates():
    """The templates by the names of their prompts, and those of iterative retrievers, as provenance takes them."""
    queries = {f"retrievers.{name}": path for name, path in QUERY_TEMPLATES.items()}
    return as_pairs((TEMPLATES | queries).items())


def what_is_compared():
    """The experiments as leaderboard takes them."""
    return {
        e.name: {
            "retriever": e.retriever,
            "top_k": e.top_k,
            "kind": CONFIG.retrievers[e.retriever].kind,
            "prompt": e.prompt,
            "reader": e.reader,
            "prices": prices_of(e.reader),
            "queries": queries_for(e.retriever),
        }
        for e in EXPERIMENTS.values()
    }


def queries_for(retriever):
    """The hops whose queries were written for a retriever or for one beneath it: their readers' prices by work."""
    names = [*beneath(retriever, CONFIG.retrievers), retriever]
    works = [work for work, (name, _) in HOPS.items() if name in names]
    return {work: prices_of(work.partition("/")[0]) for work in works}


def prices_of(reader):
    """What a reader's tokens cost, as leaderboard takes it; None where that is not known."""
    prices = CONFIG.readers[reader].prices
    return prices.model_dump() if prices else None


def results_folder(wildcards, input):
    """Where the results lie, wherever a module's ``prefix`` puts them."""
    return Path(str(input.dataset if hasattr(input, "dataset") else input.questions)).parent
