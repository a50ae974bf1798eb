"""The readers' sections of the configuration: which engine, which model, and how it is to be fed."""

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from hopeval.sections import CUSTOM, Options, Section, secret, tag

ENGINES = {
    "llamacpp": "hopeval.engines.llamacpp:LlamaCppEngine",
    "vllm": "hopeval.engines.vllm:VLLMEngine",
    "openai": "hopeval.engines.openai:OpenAIEngine",
}
"""The engines that come with hopeval, and the class of each."""


class Sampling(Section):
    """How the next token is chosen. All of it is part of a request's key."""

    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(128, ge=1, description="Most tokens generated for a request.")
    seed: int = Field(0, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: list[str] | None = None


class HubModel(Section):
    """A model in a Hugging Face repository, all of its files, at a fixed revision."""

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(
        pattern=r"^[\w.-]+$", description="A commit hash keeps the results reproducible; a branch does not."
    )


class HubFile(HubModel):
    """A model that is one file of such a repository."""

    file: str = Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$", description="Path inside the repository.")


def _source(value: Any) -> str:
    if isinstance(value, HubFile) or (isinstance(value, Mapping) and "file" in value):
        return "hub file"
    return "hub model" if isinstance(value, HubModel | Mapping) else "path"


def _known(*sources: str) -> Discriminator:
    """Tells a path from a section; one that fits none is checked, and its mistakes told, as the last."""
    return Discriminator(lambda value: found if (found := _source(value)) in sources else sources[-1])


ModelFile = Annotated[
    Annotated[str, Tag("path")] | Annotated[HubFile, Tag("hub file")],
    _known("path", "hub file"),
]
ModelFolder = Annotated[
    Annotated[str, Tag("path")] | Annotated[HubModel, Tag("hub model")],
    _known("path", "hub model"),
]
ModelFileOrFolder = Annotated[
    Annotated[str, Tag("path")] | Annotated[HubFile, Tag("hub file")] | Annotated[HubModel, Tag("hub model")],
    _known("path", "hub file", "hub model"),
]
Concurrency = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[int, Field(ge=1), Tag("number")],
    Discriminator(lambda value: "number" if isinstance(value, int) else "auto"),
]


class Prices(Section):
    """What a reader's tokens cost, per million, in a currency of your own; the report adds them up."""

    prompt: float = Field(ge=0, description="Of a prompt's tokens.")
    completion: float = Field(ge=0, description="Of generated tokens.")
    cached: float | None = Field(
        None, ge=0, description="Of prompt tokens found in the engine's cache; null: as the others."
    )


class _Reader(Section):
    context_window: int = Field(4096, ge=64, description="Tokens of prompt and answer together.")
    sampling: Sampling = Sampling()
    options: Options = Field({}, description="Further settings of the engine, by the engine's own names.")
    shards: int = Field(
        1, ge=1, description="Into how many jobs the work is split; --set-scatter <reader>=N overrides."
    )
    threads: int = Field(1, ge=1, description="CPU cores for each shard job.")
    gpus: int = Field(0, ge=0, description="GPUs for each shard job; only its job sees them.")
    python: str | None = Field(
        None, description="Interpreter for this reader's jobs, where its engine lives in another environment."
    )
    share: int = Field(1, ge=1, le=8, description="How many jobs share one GPU on one machine.")
    mem_mb: int = Field(
        8000, ge=1, description="MB of memory for each shard job on a cluster; a second attempt gets twice as much."
    )
    runtime: int = Field(
        120, ge=1, description="Minutes for each shard job on a cluster; a second attempt gets twice as many."
    )
    concurrency: Concurrency = Field(
        "auto", description="Requests in flight; auto: what the engine says, or found out at an endpoint."
    )
    requests_per_minute: float | None = Field(
        None, gt=0, description="Most requests a minute, of all jobs with this model on one host together."
    )
    tokens_per_minute: float | None = Field(
        None, gt=0, description="Most tokens a minute, prompts and answers, of all these jobs together."
    )
    attempts: int = Field(
        1, ge=1, description="How often a request is tried when the engine is busy, unreachable or out of time."
    )
    timeout_s: float = Field(600.0, gt=0, description="Seconds that one try may take.")
    shard_timeout_s: float | None = Field(
        None, gt=0, description="Seconds that a job may take; what it has no answer to then, the next run asks."
    )
    give_up_s: float = Field(
        180.0, gt=0, description="An engine that has only failed for so many seconds ends its shard."
    )
    grace_s: float = Field(20.0, ge=0, description="Seconds for what is in flight when a job is told to end (SIGTERM).")
    max_failures: int = Field(0, ge=0, description="A shard with more failed requests than this fails in the end.")
    prices: Prices | None = Field(None, description="What its tokens cost; no part of a request's key.")

    _NEUTRAL: ClassVar[frozenset[str]] = frozenset()
    """Options that set how fast the engine works or how much memory it takes, not what it answers."""

    @property
    def identity(self) -> dict[str, Any]:
        """What, beside the model's own bytes and the sampling, determines an answer."""
        options = {name: value for name, value in self.options.items() if name not in self._NEUTRAL}
        return {"engine": self.engine, "options": options}  # type: ignore[attr-defined]

    @property
    def quota(self) -> dict[str, Any]:
        """What the limits of requests and tokens a minute belong to."""
        return self.identity

    @property
    def weights(self) -> str | HubModel | None:
        """The model's file or folder, where hopeval has to find or fetch it."""
        return None

    @property
    def files(self) -> dict[str, str]:
        """Paths of further files that determine an answer, by the keys that name them."""
        return {}


class LlamaCppReader(_Reader):
    """llama.cpp in process (xllamacpp), for GGUF models on CPUs."""

    engine: Literal["llamacpp"]
    model: ModelFile = Field(description="Path of a GGUF file, or {repo, file, revision} on the Hugging Face hub.")

    _NEUTRAL: ClassVar[frozenset[str]] = frozenset(
        {"n_batch", "n_ubatch", "n_gpu_layers", "main_gpu", "use_mmap", "use_mlock"}
    )

    @property
    def weights(self) -> str | HubModel | None:
        """The GGUF file."""
        return self.model


class VLLMReader(_Reader):
    """vLLM in process, for models of safetensors on GPUs."""

    engine: Literal["vllm"]
    model: ModelFolder = Field(
        description="Folder with a model and its tokenizer, or {repo, revision} on the Hugging Face hub."
    )
    tensor_parallel: int | None = Field(
        None, ge=1, description="GPUs over which each layer is split; without it, all of the job's."
    )
    pipeline_parallel: int | None = Field(None, ge=1, description="Groups of GPUs over which the layers are split.")
    chat_template: str | None = Field(
        None, description="Jinja file that makes a prompt of the messages; without it, the tokenizer's own."
    )

    _NEUTRAL: ClassVar[frozenset[str]] = frozenset(
        {
            "block_size",
            "cpu_offload_gb",
            "disable_log_stats",
            "enable_chunked_prefill",
            "enable_prefix_caching",
            "enforce_eager",
            "gpu_memory_utilization",
            "max_num_batched_tokens",
            "max_num_seqs",
        }
    )

    @property
    def weights(self) -> str | HubModel | None:
        """The folder."""
        return self.model

    @property
    def files(self) -> dict[str, str]:
        """The chat template, if it is not the tokenizer's own."""
        return {"chat_template": self.chat_template} if self.chat_template else {}


class Serve(Section):
    """A server that each job starts for itself, waits for, and ends."""

    command: str = Field(
        description="Its command line; {port}, {model}, {threads}, {gpus} and {context_window} stand for the job's."
    )
    model: ModelFileOrFolder | None = Field(
        None, description="The {model}: path of a file or folder, or {repo, revision} and perhaps file on the hub."
    )
    health: str = Field("/health", pattern="^/", description="Path that answers 200 once the server is ready.")
    start_s: float = Field(900.0, gt=0, description="Seconds until it must be ready.")

    @field_validator("command")
    @classmethod
    def _listens_where_told(cls, value: str) -> str:
        if "{port}" not in value:
            raise ValueError("must say {port} where the server's port is to stand, as in 'vllm serve … --port {port}'")
        if flag := _SECRET_FLAG.search(value):
            raise secret(f"{flag[0]} must not be here (servers take it from an environment variable, too)", _API_KEY)
        try:
            shlex.split(value)
        except ValueError as error:
            raise ValueError(f"must be a command line as a shell reads it: {error}") from None
        return value

    @model_validator(mode="after")
    def _has_its_model(self) -> Self:
        if "{model}" in self.command and self.model is None:
            raise ValueError("must have a model where the command says {model}")
        return self


_VARIABLE = "^[A-Za-z_][A-Za-z0-9_]*$"
_SECRET_FLAG = re.compile(
    r"(?i)--([a-z]+-)*(api-key|token|password|secret)(?=[\s=]|$)|\b\w*(api_?key|token|password|secret)(?==)"
)
_API_KEY = "put the key into an environment variable and name that in api_key_env"


def _has_host(url: str) -> bool:
    """Whether the address names a host, and a port that exists or none."""
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        return False


class OpenAIReader(_Reader):
    """Any endpoint that speaks OpenAI's chat completions: vLLM's and llama.cpp's servers, SGLang, paid ones."""

    engine: Literal["openai"]
    base_url: str | None = Field(None, description="Up to and with /v1; not with serve, which has its own.")
    model: str = Field(description="The model's name at the endpoint.")
    api_key_env: str | None = Field(None, pattern=_VARIABLE, description="Environment variable that holds the key.")
    serve: Serve | None = Field(None, description="A server that the job starts itself.")
    attempts: int = Field(6, ge=1, description="How often a request is tried when the endpoint is busy or breaks off.")

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and re.search("[@?]", value):
            raise secret("must be without user, password or query", _API_KEY)
        if value is not None and not (re.fullmatch(r"https?://[^\s/#]+(/[^\s#]*)?", value) and _has_host(value)):
            raise ValueError("must be http(s)://host[:port]/path, as in http://localhost:8000/v1")
        return value and value.rstrip("/")

    @field_validator("api_key_env", mode="before")
    @classmethod
    def _is_no_key(cls, value: Any) -> Any:
        if isinstance(value, str) and not re.fullmatch(_VARIABLE, value):
            raise secret("must be the name of an environment variable", _API_KEY)
        return value

    @field_validator("options")
    @classmethod
    def _leave_the_request_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        if names := sorted({"messages", "model"} & value.keys()):
            raise ValueError(f"must not hold {names[0]!r}, which is hopeval's to say")
        return value

    @model_validator(mode="after")
    def _has_one_server(self) -> Self:
        if (self.base_url is None) == (self.serve is None):
            raise ValueError("must have either base_url, or serve with the command that starts a server")
        return self

    @property
    def weights(self) -> str | HubModel | None:
        """The model of the job's own server, where that has one."""
        return self.serve.model if self.serve else None

    @property
    def quota(self) -> dict[str, Any]:
        """An account's: whatever else differs, one address, model and key share it."""
        return {"base_url": self.base_url, "model": self.model, "api_key_env": self.api_key_env}

    @property
    def identity(self) -> dict[str, Any]:
        """As for any reader; another address may be another model under the same name."""
        server = {"command": self.serve.command} if self.serve else {"base_url": self.base_url}
        return {**super().identity, **server, "model": self.model}


class CustomReader(_Reader):
    """An engine of the user's own, ``engine: module:Class``."""

    engine: str = Field(pattern=CUSTOM)
    model: str = Field("", description="Handed to the engine; part of every request's key.")

    @property
    def identity(self) -> dict[str, Any]:
        """As for any reader; the model is known by its name only."""
        return {**super().identity, "model": self.model}


Reader = Annotated[
    Annotated[LlamaCppReader, Tag("llamacpp")]
    | Annotated[VLLMReader, Tag("vllm")]
    | Annotated[OpenAIReader, Tag("openai")]
    | Annotated[CustomReader, Tag("custom")],
    Discriminator(lambda value: tag(value, "engine", {name: name for name in ENGINES})),
]
