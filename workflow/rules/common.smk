"""What all rules share: the checked configuration, where things lie, and how a rule calls the code.

In:  config.yaml of the workflow, and what --configfile and --config lay upon it
Out: CONFIG, EXPERIMENTS, HOPS, RESULTS, and the functions that rules of several files take
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
from hopeval.commands.prepare import files_read
from hopeval.config import experiments, merge, parse_config
from hopeval.download import is_url
from hopeval.errors import ConfigError, InputError
from hopeval.indexes import library_versions
from hopeval.keys import digest, file_sha256
from hopeval.prompts import Template
from hopeval.readers import ENGINES, HubFile, HubModel
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


def as_pairs(named):
    """Files by name, as NAME=PATH for a command."""
    return Unrecorded(" ".join(f"{name}={shlex.quote(path)}" for name, path in named))


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
