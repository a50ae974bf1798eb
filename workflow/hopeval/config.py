"""The configuration as typed models: the one source of its keys, defaults, checks and JSON schema.

``parse_config`` reports every mistake at once. What a key means stands in its description, which is
also what an editor shows.
"""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from hopeval.errors import ConfigError
from hopeval.mistakes import mistakes

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
"""Names of datasets, retrievers and prompts: they become file names and parts of experiment names."""
READER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""A reader's name comes last in an experiment's, so it may hold dots (``llama-3.1-8b``)."""
CUSTOM = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
"""A class of the user's own, as ``module:Class``."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Dataset(_Model):
    """The questions to answer and the passages to retrieve from."""

    name: str = Field(pattern=NAME, description="Names the folder under results/.")
    questions: str = Field(
        description="HotpotQA or contexts file: path or http(s) URL, JSON array or JSON Lines, plain or gzip."
    )
    sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="Expected SHA-256 of the questions file, in lower-case hex."
    )
    corpus: str | None = Field(
        None, description="Passages file to retrieve from; without one, all questions' paragraphs pooled."
    )
    max_questions: int | None = Field(None, ge=1, description="Take only the first this many questions.")
    format: Literal["auto", "hotpotqa", "contexts"] = "auto"


class _TopK(_Model):
    top_k: int | list[int] = Field(
        5, description="How many passages a prompt gets; a list makes an experiment of each."
    )

    @field_validator("top_k")
    @classmethod
    def _positive_and_distinct(cls, value: int | list[int]) -> int | list[int]:
        ks = value if isinstance(value, list) else [value]
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError("must be a whole number from 1, or a list of such numbers, each once")
        return value


class FixedRetriever(_Model):
    """``given``: the question's own paragraphs; ``gold``: those with supporting facts; ``none``: closed book."""

    kind: Literal["given", "gold", "none"]


class BM25Retriever(_TopK):
    """BM25 over title and text (Robertson and Zaragoza 2009), by bm25s."""

    kind: Literal["bm25"]
    method: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = "lucene"
    k1: float = Field(0.9, ge=0, le=10)
    b: float = Field(0.4, ge=0, le=1)
    stemmer: Literal["english"] | None = "english"
    stopwords: Literal["english"] | None = "english"


class CustomRetriever(_TopK):
    """A retriever of the user's own, ``kind: module:Class``."""

    kind: str = Field(pattern=CUSTOM)
    options: dict[str, Any] = {}


Retriever = Annotated[
    Annotated[FixedRetriever, Tag("fixed")]
    | Annotated[BM25Retriever, Tag("bm25")]
    | Annotated[CustomRetriever, Tag("custom")],
    Discriminator(
        lambda value: _tag(value, "kind", {"given": "fixed", "gold": "fixed", "none": "fixed", "bm25": "bm25"})
    ),
]


class Prompt(_Model):
    """What a reader is asked, and in what form it is to answer."""

    template: str = Field(description="Jinja template: a path, or the name of a file in workflow/prompts/.")
    output: Literal["json", "text"] = Field(
        "json", description="json: a schema that the engine enforces where it can; text: free text, parsed tolerantly."
    )


class Sampling(_Model):
    """How the next token is chosen. All of it is part of a request's key."""

    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(128, ge=1, description="Most tokens generated for a request.")
    seed: int = Field(0, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: list[str] | None = None


class HubFile(_Model):
    """A model file in a Hugging Face repository, at a fixed revision."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    file: str = Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$", description="Path inside the repository.")
    revision: str = Field(
        pattern=r"^[\w.-]+$", description="A commit hash keeps the results reproducible; a branch does not."
    )


Model = Annotated[
    Annotated[str, Tag("path")] | Annotated[HubFile, Tag("hub")],
    Discriminator(lambda value: "hub" if isinstance(value, Mapping | HubFile) else "path"),
]


class _Reader(_Model):
    context_window: int = Field(4096, ge=64, description="Tokens of prompt and answer together.")
    sampling: Sampling = Sampling()
    options: dict[str, Any] = Field({}, description="Further settings of the engine, by the engine's own names.")
    shards: int = Field(
        1, ge=1, description="Into how many jobs the work is split; --set-scatter <reader>=N overrides."
    )
    threads: int = Field(1, ge=1, description="CPU cores for each shard job.")
    gpus: int = Field(0, ge=0, description="GPUs for each shard job; only its job sees them.")
    share: int = Field(1, ge=1, le=8, description="How many jobs share one GPU on one machine.")
    concurrency: int | None = Field(None, ge=1, description="Requests in flight; without it the engine says.")
    max_failures: int = Field(0, ge=0, description="A shard with more failed requests than this fails in the end.")
    timeout_s: float = Field(600.0, gt=0, description="Seconds that one request may take.")

    @property
    def identity(self) -> dict[str, Any]:
        """What, beside the model's own bytes and the sampling, determines an answer."""
        return {"engine": self.engine, "options": self.options}  # type: ignore[attr-defined]


class LlamaCppReader(_Reader):
    """llama.cpp in process (xllamacpp), for GGUF models on CPUs."""

    engine: Literal["llamacpp"]
    model: Model = Field(description="Path of a GGUF file, or {repo, file, revision} on the Hugging Face hub.")


class CustomReader(_Reader):
    """An engine of the user's own, ``engine: module:Class``."""

    engine: str = Field(pattern=CUSTOM)
    model: str = Field("", description="Handed to the engine; part of every request's key.")

    @property
    def identity(self) -> dict[str, Any]:
        """As for any reader; the model is known by its name only."""
        return {**super().identity, "model": self.model}


Reader = Annotated[
    Annotated[LlamaCppReader, Tag("llamacpp")] | Annotated[CustomReader, Tag("custom")],
    Discriminator(lambda value: _tag(value, "engine", {"llamacpp": "llamacpp"})),
]


def _tag(value: Any, key: str, tags: Mapping[str, str]) -> str | None:
    """Which model a section is checked against, so that its mistakes are told in that model's terms."""
    chosen = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    if isinstance(chosen, str) and chosen in tags:
        return tags[chosen]
    return "custom" if isinstance(chosen, str) and ":" in chosen else None


_ALTERNATIVES = {
    "retrievers": ("kind", "given, gold, none, bm25, or module:Class of your own"),
    "readers": ("engine", "llamacpp, or module:Class of your own"),
}


Experiments = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[list[str], Field(min_length=1), Tag("globs")],
    Discriminator(lambda value: "globs" if isinstance(value, list) else "all"),
]


class Config(_Model):
    """The whole configuration of a run."""

    dataset: Dataset
    retrievers: dict[Annotated[str, Field(pattern=NAME)], Retriever] = Field(min_length=1)
    prompts: dict[Annotated[str, Field(pattern=NAME)], Prompt] = Field(min_length=1)
    readers: dict[Annotated[str, Field(pattern=READER_NAME)], Reader] = Field(min_length=1)
    experiments: Experiments = Field(
        "all", description="'all', or globs over experiment names: <retriever>[@k].<prompt>.<reader>."
    )


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
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(mistakes(error, values, _ALTERNATIVES, _keys_beside)) from None
    unmatched = [
        f"experiments.{i}: {pattern!r} matches no experiment; there are: {_listing(_all_experiments(config))}"
        for i, pattern in enumerate(_patterns(config))
        if not any(fnmatch.fnmatchcase(experiment.name, pattern) for experiment in _all_experiments(config))
    ]
    if unmatched:
        raise ConfigError(unmatched)
    return config


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


def top_ks(retriever: Any) -> list[int | None]:
    """The values of top-k of a retriever, ascending; [None] when it has no such setting."""
    value = getattr(retriever, "top_k", None)
    return sorted(value) if isinstance(value, list) else [value]


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
        "retrievers": (FixedRetriever, BM25Retriever, CustomRetriever),
        "prompts": (Prompt,),
        "readers": (LlamaCppReader, CustomReader),
        "sampling": (Sampling,),
        "model": (HubFile,),
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
