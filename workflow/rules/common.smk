"""What all rules share: the checked configuration, where things lie, and how a rule calls the code.

In:  config.yaml of the workflow, and what --configfile and --config lay upon it
Out: CONFIG, EXPERIMENTS, RESULTS, and the functions that make the rules' inputs and params
"""

import json
import re
import shlex
import shutil
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import yaml
from snakemake.sourcecache import LocalSourceFile

RULES = workflow.current_basedir


def own_file(path):
    """Where a file of the workflow itself lies; ``path`` is relative to the workflow's folder.

    A remote workflow's files are fetched one by one, when they are named. Local ones are used in
    place: source_path would copy them to another temporary folder in every run.
    """
    if isinstance(RULES, LocalSourceFile):
        return Path(RULES.get_path_or_uri(secret_free=True), "../..", path).resolve()
    return Path(workflow.source_path(f"../../{path}"))


for name in own_file("workflow/package.txt").read_text().split():
    LIBRARY = own_file(f"workflow/{name}").parents[name.count("/")]
sys.path.insert(0, str(LIBRARY))

from hopeval.closure import code_digest
from hopeval.commands.infer import ENGINES
from hopeval.commands.prepare import files_read
from hopeval.config import experiments, merge, parse_config
from hopeval.download import is_url
from hopeval.errors import ConfigError, InputError
from hopeval.indexes import library_versions
from hopeval.keys import digest, file_sha256
from hopeval.prompts import Template
from hopeval.readers import HubFile, HubModel
from hopeval.composition import beneath, searched
from hopeval.retrieval import KINDS

EMBEDDED_MODEL = "resources/models/SmolLM2-135M-Instruct.Q4_1.gguf"


def located(path):
    """The path as it is, when it is there or nowhere; else where it lies beside the workflow."""
    if is_url(path) or Path(path).exists() or Path(path).is_absolute():
        return path
    try:
        beside = own_file(path)
    except Exception:  # what a remote source raises depends on its host
        return path
    return str(beside) if beside.exists() else path


def as_named(path):
    """A user's file as an input: the ``prefix`` of a module statement is for what the workflow makes."""
    return local(located(path))


def as_data(path):
    """The same for questions and passages; nothing for a URL, or for those that come with the workflow.

    These may lie elsewhere in each run, which is no reason to run again: see stamp.
    """
    return as_named(path) if path and not is_url(path) and located(path) == path else []


def stamp(path):
    """What tells that a file was replaced, also by an older one, which Snakemake's own comparison of times
    would not see: SHA-256 of a file that comes with the workflow, size and time of a user's."""
    if not path or is_url(path) or not Path(located(path)).exists():
        return None
    if located(path) != path:
        return file_sha256(located(path))
    return size_and_time(path)


def question_files():
    """All files of the questions: of BEIR's the judgements lie beside the queries."""
    path = CONFIG.dataset.questions
    if is_url(path) or located(path) != path:
        return [path]
    return [str(file) for file in files_read(Path(path), CONFIG.dataset.format)]


def size_and_time(path):
    """A file's size in bytes and time in nanoseconds, of a folder those of its files; None when it is not there."""
    if Path(path).is_dir():
        return [
            [file.name, *size_and_time(file)]
            for file in sorted(Path(path).rglob("*"))
            if file.is_file()
        ]
    if not Path(path).exists():
        return None
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns]


def template_path(name):
    """A template's path: as given, else by its name among the workflow's own."""
    found = located(name)
    return found if Path(found).exists() else located(f"workflow/prompts/{name}")


def checked_config():
    """The configuration. Every mistake is told before any job starts, and Snakemake ends with 2."""
    defaults = yaml.safe_load(own_file("config.yaml").read_text())
    try:
        checked = parse_config(merge(defaults, config))
        if unusable := missing_files(checked) + broken_templates(checked):
            raise ConfigError(unusable)
    except ConfigError as error:
        print(f"hopeval: {error}", file=sys.stderr)
        sys.exit(2)
    return checked


def missing_files(checked):
    """A line for each file that the configuration names and that is nowhere."""
    named = {
        "dataset.questions": checked.dataset.questions,
        "dataset.corpus": checked.dataset.corpus.source if checked.dataset.corpus else None,
    }
    named |= {
        f"prompts.{name}.template": prompt.template
        for name, prompt in checked.prompts.items()
        if not Path(template_path(prompt.template)).exists()
    }
    for name, reader in checked.readers.items():
        if reader.weights != EMBEDDED_MODEL:
            named[f"readers.{name}.{'serve.' if reader.engine == 'openai' else ''}model"] = (
                reader.weights
            )
    for name, retriever in checked.retrievers.items():
        named[f"retrievers.{name}.model"] = retriever.model_folder
    named |= {
        f"retrievers.{name}.prompt.template": template
        for name, template in query_templates(checked).items()
        if not Path(template_path(template)).exists()
    }
    pythons = {
        f"{kind}.{name}.python": getattr(section, "python", None)
        for kind in ("readers", "retrievers")
        for name, section in getattr(checked, kind).items()
    }
    absent = [
        f"{key}: found {python!r}; there is no such program; correct the path"
        for key, python in pythons.items()
        if python and not shutil.which(python)
    ]
    # As they are named: jobs read them themselves.
    absent += [
        f"{section}.{name}.{key}: no file at {path!r}; correct the path"
        for section in ("retrievers", "readers")
        for name, entry in getattr(checked, section).items()
        for key, path in entry.files.items()
        if not Path(path).is_file()
    ]
    return absent + [
        f"{key}: no file at {path!r}, neither here nor beside the workflow; correct the path"
        for key, path in named.items()
        if isinstance(path, str)
        and not (is_url(path) and key.startswith("dataset."))
        and not Path(located(path)).exists()
    ]


def corpus_name(corpus):
    """A folder's name: the source's own, for those who look, and what tells it from others of that name."""
    stem = Path(corpus.source).name.partition(".")[0]
    return f"{re.sub('[^A-Za-z0-9_-]', '-', stem)}-{digest(corpus.model_dump())[:8]}"


def broken_templates(checked):
    """A line for each template that is there and cannot be used."""
    mistakes = []
    named = {f"prompts.{name}": prompt.template for name, prompt in checked.prompts.items()}
    named |= {f"retrievers.{name}.prompt": path for name, path in query_templates(checked).items()}
    for key, template in named.items():
        path = template_path(template)
        try:
            Path(path).exists() and Template(path)
        except InputError as error:
            mistakes.append(f"{key}.template: {error}")
    return mistakes


def query_templates(checked):
    """The template of each iterative retriever, as it is named."""
    return {
        name: settings.prompt.template
        for name, settings in checked.retrievers.items()
        if settings.kind == "iterative"
    }


CONFIG = checked_config()
EXPERIMENTS = {experiment.name: experiment for experiment in experiments(CONFIG)}
RESULTS = f"results/{CONFIG.dataset.name}"
# What is searched: a corpus, made once for all data sets that name it, or the questions' own paragraphs.
CORPUS = (
    f"resources/corpora/{corpus_name(CONFIG.dataset.corpus)}" if CONFIG.dataset.corpus else RESULTS
)
RETRIEVERS = list(dict.fromkeys(e.retriever for e in EXPERIMENTS.values()))
TEMPLATES = {
    name: template_path(CONFIG.prompts[name].template)
    for name in sorted({e.prompt for e in EXPERIMENTS.values()})
}
# Those and all that they are built on.
SEARCHED = list(
    dict.fromkeys(
        name for above in RETRIEVERS for name in [*beneath(above, CONFIG.retrievers), above]
    )
)
QUERY_TEMPLATES = {
    name: template_path(path) for name, path in query_templates(CONFIG).items() if name in SEARCHED
}
# What a reader is asked for is a work of its own, with a folder under readers/: the answers of its experiments,
# or the queries of a hop, from a retriever's second on. There are those of retrievers that no experiment uses as
# well: one may ask for these too.
ANSWERING = sorted({e.reader for e in EXPERIMENTS.values()})
HOPS = {
    f"{settings.reader}/hops/{name}-{hop}": (name, hop)
    for name, settings in CONFIG.retrievers.items()
    if settings.kind == "iterative"
    for hop in range(2, settings.hops + 1)
}
WORKS_IN_USE = [*ANSWERING, *(work for work, (name, _) in HOPS.items() if name in SEARCHED)]
WORKS = list(dict.fromkeys([*WORKS_IN_USE, *HOPS]))
READERS, READERS_IN_USE = (
    {name: CONFIG.readers[name] for name in sorted({work.partition("/")[0] for work in works})}
    for works in (WORKS, WORKS_IN_USE)
)

# On a cluster: beside Snakemake itself, or as jobs.
CPU_STAGES_ARE_LOCAL = CONFIG.cpu_stages == "local"


wildcard_constraints:
    retriever="|".join(map(re.escape, CONFIG.retrievers)),
    reader="|".join(map(re.escape, CONFIG.readers)),
    work="|".join(map(re.escape, WORKS)),
    experiment="|".join(map(re.escape, EXPERIMENTS)),


class Unrecorded:
    """Text for a shell command that is no reason to run a job again: Snakemake records plain values only.

    For what does not change the answers: where the code lies, how many requests are in flight.
    """

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


def command(verb, python=None):
    """How a job calls a verb. A moved checkout runs nothing again."""
    # In a container or a conda environment python is the one in there; else it is that of Snakemake.
    deployed = workflow.deployment_settings.deployment_method
    python = python or ("python" if deployed else sys.executable)
    path = f'{shlex.quote(str(LIBRARY))}"${{PYTHONPATH:+:$PYTHONPATH}}"'
    return Unrecorded(f"PYTHONPATH={path} {shlex.quote(python)} -P -m hopeval {verb}")


def source_of(name):
    """The file of a user's own module, found as a job finds it but not imported; None when there is none."""
    path = Path(*name.split("."))
    ends = path.with_suffix(".py"), path / "__init__.py"
    places = (Path(folder, end) for folder in [".", *sys.path] for end in ends)
    return next((place for place in places if place.is_file()), None)


def code(verb, *plugins):
    """The digest of the modules that a verb is made of, so that a changed scorer scores again and never
    infers again. ``plugins`` are retrievers' or engines' ``module:Class``, the user's own included.
    """
    names = sorted({plugin.partition(":")[0] for plugin in plugins})
    own = [name for name in names if not name.startswith("hopeval.")]
    sources = filter(None, map(source_of, own))
    modules = (name for name in names if name not in own)
    return code_digest(LIBRARY, verb, *modules) + "".join(map(file_sha256, sources))


def as_json(value):
    """A section of the configuration as a verb takes it."""
    return json.dumps(value.model_dump() if hasattr(value, "model_dump") else value)


def quoted(value):
    """The same, ready for the shell and not recorded."""
    return Unrecorded(shlex.quote(as_json(value)))


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


def path_of(model):
    """Where a model lies or is fetched to, as a list: empty for none, when an engine takes care of it."""
    if isinstance(model, HubFile):
        return [f"resources/models/{model.repo}/{model.revision}/{model.file}"]
    if isinstance(model, HubModel):
        return [f"resources/models/{model.repo}@{model.revision}"]
    if model is None:
        return []
    # The embedded model is made by a rule, unless it lies beside the workflow already.
    return [model if model == EMBEDDED_MODEL == located(model) else as_named(model)]


def model_path(reader):
    """The same of a reader's model."""
    return path_of(CONFIG.readers[reader].weights)


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


def model_stamp(wildcards):
    """What tells that a reader's own model file was replaced; None for one that a rule fetches, checked."""
    model = CONFIG.readers[reader_of(wildcards)].weights
    fetched = model == EMBEDDED_MODEL or isinstance(model, HubModel)
    return None if fetched else [size_and_time(path) for path in model_path(reader_of(wildcards))]


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


def as_pairs(named):
    """Files by name, as NAME=PATH for a command."""
    return Unrecorded(" ".join(f"{name}={shlex.quote(path)}" for name, path in named))


def of_retriever(key):
    """A resource of a retriever's jobs: what its section says, and as much more for each further attempt."""
    return lambda wildcards, attempt: getattr(CONFIG.retrievers[wildcards.retriever], key) * attempt


def index_store(wildcards, output, up=3):
    """The folder of all indexes, wherever a module's ``prefix`` puts the results, so many folders ``up``."""
    return Unrecorded(str(Path(output[0]).parents[up] / "resources" / "indexes"))


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
    prices = CONFIG.readers[reader].prices
    return prices.model_dump() if prices else None


def results_folder(wildcards, input):
    """Where the results lie, wherever a module's ``prefix`` puts them."""
    return Path(str(input.dataset if hasattr(input, "dataset") else input.questions)).parent


def of_experiment(pattern):
    """An input function: the pattern with the experiment's reader and retriever in it."""
    return lambda wildcards: pattern.format(**EXPERIMENTS[wildcards.experiment]._asdict())


def top_k_option(wildcards):
    k = EXPERIMENTS[wildcards.experiment].top_k
    return "" if k is None else f"--top-k {k}"


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


def show_failures():
    """Print what failed and the end of each log at the end of a run, on Snakemake's own terminal."""
    from hopeval.__main__ import main

    # Not --show-failed-logs: on a cluster it adds two screens of Snakemake's own words to each log.
    if Path(RESULTS).exists():
        with redirect_stdout(sys.stderr):
            print("\nWhat failed\n===========")
            main(["status", RESULTS, "--failed"])


def show_leaderboard():
    """Print the leaderboard at the end of a run, on Snakemake's own terminal."""
    from hopeval.__main__ import main

    # A run that was asked for something else may have none.
    if Path(RESULTS, "leaderboard.csv").exists():
        main(["show", RESULTS])
