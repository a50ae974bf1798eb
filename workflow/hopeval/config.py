"""The configuration as typed models: the one source of its keys, defaults, checks and JSON schema.

``parse_config`` reports every mistake at once. What a key means stands in its description, which is
also what an editor shows.
"""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from hopeval.composition import mistaken_bases, mistaken_readers, mistaken_searchers
from hopeval.errors import ConfigError
from hopeval.mistakes import mistakes
from hopeval.readers import (
    ENGINES,
    CustomReader,
    HubFile,
    LlamaCppReader,
    OpenAIReader,
    Prices,
    Reader,
    Sampling,
    Serve,
    VLLMReader,
)
from hopeval.retrieval import (
    KINDS,
    RETRIEVERS,
    Faiss,
    Retriever,
    top_ks,
)
from hopeval.sections import Prompt, Section, Source

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
"""Names of datasets, retrievers and prompts: they become file names and parts of experiment names."""
READER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""A reader's name comes last in an experiment's, so it may hold dots (``llama-3.1-8b``)."""


class Corpus(Section):
    """What there is to search. A path or URL alone means the same with all else as it is by default."""

    source: Source = Field(
        description="Path or http(s) URL of HotpotQA's fullwiki dump, BEIR's corpus.jsonl or a passages file: a file, "
        "plain or packed, a tar or zip archive, or an unpacked folder."
    )
    format: Literal["auto", "fullwiki", "beir", "passages"] = "auto"
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Expected SHA-256 of the file, in lower-case hex."
    )


def _as_section(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class Dataset(Section):
    """The questions to answer and the passages to retrieve from."""

    name: str = Field(pattern=NAME, description="Names the folder under results/.")
    questions: Source = Field(
        description="HotpotQA, contexts or BEIR file: path or http(s) URL, JSON array or JSON Lines, plain or gzip."
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Expected SHA-256 of the questions file, in lower-case hex."
    )
    corpus: Annotated[Corpus | None, BeforeValidator(_as_section, json_schema_input_type=str | Corpus | None)] = Field(
        None, description="What to search: see docs/retrieval.md; without one, all questions' paragraphs pooled."
    )
    max_questions: int | None = Field(None, ge=1, description="Take only the first this many questions.")
    format: Literal["auto", "hotpotqa", "contexts", "beir"] = "auto"


_ALTERNATIVES = {
    "retrievers": ("kind", f"{', '.join(KINDS)}, or module:Class of your own"),
    "readers": ("engine", f"{', '.join(ENGINES)}, or module:Class of your own"),
}


Experiments = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[list[str], Field(min_length=1), Tag("globs")],
    Discriminator(lambda value: "globs" if isinstance(value, list) else "all"),
]


class Report(Section):
    """What report.html holds."""

    passages: Literal["auto", "all", "none"] = Field(
        "auto", description="The passages' text: all, none (titles only), or auto: all of it up to 2,000 questions."
    )


class Tune(Section):
    """How long ``snakemake tune`` measures."""

    minutes: float = Field(10.0, gt=0, description="Minutes that the readers in use may take together.")
    repeats: int = Field(3, ge=1, description="How often each good set-up is measured.")


class Config(Section):
    """The whole configuration of a run."""

    dataset: Dataset
    retrievers: dict[Annotated[str, Field(pattern=NAME)], Retriever] = Field(min_length=1)
    prompts: dict[Annotated[str, Field(pattern=NAME)], Prompt] = Field(min_length=1)
    readers: dict[Annotated[str, Field(pattern=READER_NAME)], Reader] = Field(min_length=1)
    experiments: Experiments = Field(
        "all", description="'all', or globs over experiment names: <retriever>[@k].<prompt>.<reader>."
    )
    container: str = Field(
        "hopeval.sif", description="Image that jobs run in with --sdm apptainer: a path or a URL; see envs/hopeval.def."
    )
    cpu_stages: Literal["local", "submitted"] = Field(
        "local", description="Where the stages without a model run on a cluster: beside Snakemake, or as jobs."
    )
    report: Report = Report()
    tune: Tune = Tune()


class Experiment(NamedTuple):
    """One cell of retriever × top-k × prompt × reader; ``top_k`` None: all that the retriever gives."""

    name: str
    retriever: str
    top_k: int | None
    prompt: str
    reader: str


def parse_config(values: Mapping[str, Any]) -> Config:
    """The checked configuration. Raises ConfigError with a line for each mistake.

    Each line has the key's path, what was found and what would be right.
    """
    mistaken = _mistaken_names(values)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError([*mistakes(error, values, _ALTERNATIVES, _keys_beside), *mistaken]) from None
    mistaken += [
        f"experiments.{i}: {pattern!r} matches no experiment; there are: {_listing(_all_experiments(config))}"
        for i, pattern in enumerate(_patterns(config))
        if not any(fnmatch.fnmatchcase(experiment.name, pattern) for experiment in _all_experiments(config))
    ]
    if mistaken:
        raise ConfigError(mistaken)
    return config


def _mistaken_names(values: Any) -> list[str]:
    """The mistakes in what retrievers are built on and whom they ask, whatever else is wrong."""
    retrievers, readers = (
        values.get(key) if isinstance(values, Mapping) else None for key in ("retrievers", "readers")
    )
    if not isinstance(retrievers, Mapping):
        return []
    mistaken = mistaken_bases(retrievers) or mistaken_searchers(retrievers)
    return mistaken + (mistaken_readers(retrievers, readers) if isinstance(readers, Mapping) else [])


def parse_retriever(values: Any, where: str = "retriever") -> Retriever:
    """One retriever's section. Raises ConfigError."""
    return cast("Retriever", _parse_section(Retriever, values, where, "retrievers"))


def parse_reader(values: Any, where: str = "reader") -> Reader:
    """One reader's section. Raises ConfigError."""
    return cast("Reader", _parse_section(Reader, values, where, "readers"))


def _parse_section(kind: Any, values: Any, where: str, section: str) -> Any:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(mistakes(error, values, _ALTERNATIVES, _keys_beside, (section, where))) from None


def experiments(config: Config) -> list[Experiment]:
    """The experiments that the configuration asks for, in the order of its sections."""
    patterns = _patterns(config)
    return [e for e in _all_experiments(config) if any(fnmatch.fnmatchcase(e.name, p) for p in patterns)]


def _patterns(config: Config) -> list[str]:
    return ["*"] if config.experiments == "all" else config.experiments


def _all_experiments(config: Config) -> Iterator[Experiment]:
    for retriever, settings in config.retrievers.items():
        for k in top_ks(settings):
            for prompt in config.prompts:
                for reader in config.readers:
                    ranked = retriever if k is None else f"{retriever}@{k}"
                    yield Experiment(f"{ranked}.{prompt}.{reader}", retriever, k, prompt, reader)


def _listing(found: Iterator[Experiment], most: int = 6) -> str:
    names = [experiment.name for experiment in found]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` laid upon ``base``, section by section; null takes a section of ``base`` out.

    >>> merge({"readers": {"a": {"gpus": 1}, "b": {}}}, {"readers": {"a": {"threads": 2}, "b": None}})
    {'readers': {'a': {'gpus': 1, 'threads': 2}}}
    """
    return _merge(base, over, depth=0)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any], depth: int) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and not (depth < 2 and _replaces(below, value)):
            merged[key] = _merge(below, value, depth + 1)
        elif value is None and isinstance(below, Mapping):
            del merged[key]
        else:
            merged[key] = value
    return merged


def _replaces(below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    # Another kind or engine, or other questions, have other keys: nothing of the old section would fit.
    return any(key in value and value[key] != below.get(key) for key in ("kind", "engine", "questions"))


def _keys_beside(path: Sequence[int | str]) -> set[str]:
    """The keys that exist where an unknown one was found, but not the unknown one itself."""
    sections: dict[str, tuple[type[BaseModel], ...]] = {
        "dataset": (Dataset,),
        "corpus": (Corpus,),
        "retrievers": RETRIEVERS,
        "prompts": (Prompt,),
        "readers": (LlamaCppReader, VLLMReader, OpenAIReader, CustomReader),
        "sampling": (Sampling,),
        "faiss": (Faiss,),
        "model": (HubFile,),
        "serve": (Serve,),
        "prices": (Prices,),
        "report": (Report,),
        "tune": (Tune,),
    }
    models = next((sections[step] for step in reversed(path[:-1]) if step in sections), (Config,))
    return {key for model in models for key in model.model_fields} - {str(path[-1])}


def json_schema() -> dict[str, Any]:
    """The JSON schema of a configuration file, for editors.

    Such a file is laid upon the default: nothing in it is required, and null takes an entry out.
    """
    schema = _without_required(Config.model_json_schema())
    for section in ("retrievers", "prompts", "readers"):
        entries = schema["properties"][section]
        entries.pop("minProperties", None)
        entries["additionalProperties"] = False
        entries["patternProperties"] = {
            pattern: {"anyOf": [entry, {"type": "null"}]} for pattern, entry in entries["patternProperties"].items()
        }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_required(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_required(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        # oneOf would refuse a section that fits two kinds as long as it names none.
        "anyOf" if key == "oneOf" else key: _without_required(part)
        for key, part in schema.items()
        if not (key == "required" and isinstance(part, list))
    }
