"""What all rules share: the checked configuration, where things lie, and how a rule calls the code.

In:  config.yaml of the workflow, and what --configfile and --config lay upon it
Out: CONFIG, EXPERIMENTS, RESULTS, and the functions that make the rules' inputs and params
"""

import json
import re
import shlex
import sys
from pathlib import Path

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
from hopeval.commands.retrieve import KINDS
from hopeval.config import HubFile, experiments, merge, parse_config
from hopeval.download import is_url
from hopeval.errors import ConfigError, InputError
from hopeval.keys import file_sha256
from hopeval.prompts import Template

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


def size_and_time(path):
    """A file's size in bytes and time in nanoseconds; None when it is not there."""
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
        "dataset.corpus": checked.dataset.corpus,
    }
    named |= {
        f"prompts.{name}.template": prompt.template
        for name, prompt in checked.prompts.items()
        if not Path(template_path(prompt.template)).exists()
    }
    named |= {
        f"readers.{name}.model": reader.model
        for name, reader in checked.readers.items()
        if reader.engine == "llamacpp" and reader.model != EMBEDDED_MODEL
    }
    return [
        f"{key}: no file at {path!r}, neither here nor beside the workflow; correct the path"
        for key, path in named.items()
        if isinstance(path, str)
        and not (is_url(path) and key == "dataset.questions")
        and not Path(located(path)).exists()
    ]


def broken_templates(checked):
    """A line for each template that is there and cannot be used."""
    mistakes = []
    for name, prompt in checked.prompts.items():
        path = template_path(prompt.template)
        try:
            Path(path).exists() and Template(path)
        except InputError as error:
            mistakes.append(f"prompts.{name}.template: {error}")
    return mistakes


CONFIG = checked_config()
EXPERIMENTS = {experiment.name: experiment for experiment in experiments(CONFIG)}
RESULTS = f"results/{CONFIG.dataset.name}"
READERS = {name: CONFIG.readers[name] for name in sorted({e.reader for e in EXPERIMENTS.values()})}
TEMPLATES = {
    name: template_path(CONFIG.prompts[name].template)
    for name in sorted({e.prompt for e in EXPERIMENTS.values()})
}


wildcard_constraints:
    retriever="|".join(map(re.escape, CONFIG.retrievers)),
    reader="|".join(map(re.escape, CONFIG.readers)),
    experiment="|".join(map(re.escape, EXPERIMENTS)),


class Unrecorded:
    """Text for a shell command that is no reason to run a job again: Snakemake records plain values only.

    For what does not change the answers: where the code lies, how many requests are in flight.
    """

    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


def command(verb):
    """How a job calls a verb. A moved checkout runs nothing again."""
    # In a container or a conda environment python is the one in there; else it is that of Snakemake.
    python = "python" if workflow.deployment_settings.deployment_method else sys.executable
    path = f'{shlex.quote(str(LIBRARY))}"${{PYTHONPATH:+:$PYTHONPATH}}"'
    return Unrecorded(f"PYTHONPATH={path} {shlex.quote(python)} -P -m hopeval {verb}")


def source_of(name):
    """The file of a user's own module, found as a job finds it but not imported; None when there is none."""
    path = Path(*name.split("."))
    ends = path.with_suffix(".py"), path / "__init__.py"
    places = (Path(folder, end) for folder in [".", *sys.path] for end in ends)
    return next((place for place in places if place.is_file()), None)


def code(verb, plugin=None):
    """The digest of the modules that a verb is made of, so that a changed scorer scores again and never
    infers again. ``plugin`` is a retriever's or an engine's ``module:Class``, the user's own included.
    """
    name = plugin.partition(":")[0] if plugin else ""
    if not name or name.startswith("hopeval."):
        return code_digest(LIBRARY, verb, *filter(None, [name]))
    source = source_of(name)
    return code_digest(LIBRARY, verb) + (file_sha256(source) if source else "")


def as_json(value):
    """A section of the configuration as a verb takes it."""
    return json.dumps(value.model_dump() if hasattr(value, "model_dump") else value)


def quoted(value):
    """The same, ready for the shell and not recorded."""
    return Unrecorded(shlex.quote(as_json(value)))


def of_reader(name):
    """The experiments of a reader, as plan takes them."""
    return {
        e.name: {"retriever": e.retriever, "top_k": e.top_k, "prompt": e.prompt}
        for e in EXPERIMENTS.values()
        if e.reader == name
    }


def model_path(reader):
    """Where a reader's model lies or is fetched to, as a list: empty when its engine takes care of it."""
    model = getattr(CONFIG.readers[reader], "model", None)
    if isinstance(model, HubFile):
        return [f"resources/models/{model.repo}/{model.revision}/{model.file}"]
    if CONFIG.readers[reader].engine != "llamacpp":
        return []
    # The embedded model is made by a rule, unless it lies beside the workflow already.
    return [model if model == EMBEDDED_MODEL == located(model) else as_named(model)]


def model_stamp(wildcards):
    """What tells that a reader's own model file was replaced; None for one that a rule fetches, checked."""
    model = CONFIG.readers[wildcards.reader].model
    fetched = model == EMBEDDED_MODEL or isinstance(model, HubFile)
    return None if fetched else [size_and_time(path) for path in model_path(wildcards.reader)]


def retriever_class(wildcards):
    kind = CONFIG.retrievers[wildcards.retriever].kind
    return KINDS.get(kind, kind)


def engine_class(wildcards):
    engine = CONFIG.readers[wildcards.reader].engine
    return ENGINES.get(engine, engine)


def contexts_of(wildcards):
    """The contexts that a reader's experiments are made of."""
    retrievers = dict.fromkeys(e["retriever"] for e in of_reader(wildcards.reader).values())
    return [f"{RESULTS}/contexts/{name}.jsonl" for name in retrievers]


def named_contexts(wildcards, input):
    return Unrecorded(" ".join(f"{Path(path).stem}={shlex.quote(path)}" for path in input.contexts))


def model_option(wildcards, input):
    return Unrecorded(f"--model {shlex.quote(str(input.model))}" if input.model else "")


def prompts_of(name):
    """The prompts of a reader's experiments, as plan takes them."""
    used = {e["prompt"] for e in of_reader(name).values()}
    return {p: {"template": TEMPLATES[p], "output": CONFIG.prompts[p].output} for p in sorted(used)}


def prompt_digests(wildcards):
    """What of the prompts determines the requests: not where their templates lie."""
    return as_json(
        {
            name: [p["output"], file_sha256(p["template"])]
            for name, p in prompts_of(wildcards.reader).items()
        }
    )


def what_answers_depend_on(wildcards):
    """The reader's settings that are part of the requests; others may change without a new plan."""
    reader = CONFIG.readers[wildcards.reader]
    return as_json(
        {
            **reader.identity,
            "sampling": reader.sampling.model_dump(),
            "context_window": reader.context_window,
        }
    )


def journal_folder(wildcards, output):
    """Beside the folder of the responses, wherever a module's ``prefix`` puts that."""
    return Path(output[0]).parents[1] / "journal"


def named_models(wildcards, input):
    """The model files by the names of their readers, as provenance takes them."""
    names = [name for name in READERS for _ in model_path(name)]
    pairs = zip(names, input.models, strict=True)
    return Unrecorded(" ".join(f"{name}={shlex.quote(path)}" for name, path in pairs))


def of_experiment(pattern):
    """An input function: the pattern with the experiment's reader and retriever in it."""
    return lambda wildcards: pattern.format(**EXPERIMENTS[wildcards.experiment]._asdict())


def top_k_option(wildcards):
    k = EXPERIMENTS[wildcards.experiment].top_k
    return "" if k is None else f"--top-k {k}"


def environment_of(wildcards):
    """The conda environment of a reader's engine (--sdm conda); an engine of one's own has the workflow's."""
    engine = CONFIG.readers[wildcards.reader].engine
    return f"../../envs/{engine if engine in ENGINES else 'workflow'}.yaml"


def show_leaderboard():
    """Print the leaderboard at the end of a run, on Snakemake's own terminal."""
    from hopeval.__main__ import main

    # A run that was asked for something else may have none.
    if Path(RESULTS, "leaderboard.csv").exists():
        main(["show", RESULTS])
