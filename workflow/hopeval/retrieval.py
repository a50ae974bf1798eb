"""The retrievers' sections of the configuration: of which kind each is, and what it is built on."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from hopeval.readers import HubModel, ModelFolder
from hopeval.sections import CUSTOM, Options, Prompt, Section, tag

KINDS = {
    "given": "hopeval.retrievers.given:GivenRetriever",
    "gold": "hopeval.retrievers.gold:GoldRetriever",
    "none": "hopeval.retrievers.none:NoneRetriever",
    "bm25": "hopeval.retrievers.bm25:BM25Retriever",
    "dense": "hopeval.retrievers.dense:DenseRetriever",
    "hybrid": "hopeval.retrievers.hybrid:HybridRetriever",
    "rerank": "hopeval.retrievers.rerank:RerankRetriever",
    "two-hop": "hopeval.retrievers.two_hop:TwoHopRetriever",
    "iterative": "hopeval.retrievers.iterative:IterativeRetriever",
    "run": "hopeval.retrievers.run:RunRetriever",
}
"""The kinds that come with hopeval, and the class of each."""
DEPTH = 100
"""How deep rankings are by default: as deep as the measures reach."""
SHOWN = 10
"""How many passages a context has at least, even where prompts take fewer."""


class _Retriever(Section):
    threads: int = Field(1, ge=1, description="CPU cores for each of its jobs.")
    mem_mb: int = Field(
        4000, ge=1, description="MB of memory for each of its jobs on a cluster; a second attempt gets twice as much."
    )
    runtime: int = Field(
        60, ge=1, description="Minutes for each of its jobs on a cluster; a second attempt gets twice as many."
    )

    NEUTRAL: ClassVar[frozenset[str]] = frozenset({"threads", "mem_mb", "runtime"})
    """Keys that say how it is worked out, not what is found."""
    SEARCHING: ClassVar[frozenset[str]] = frozenset({"top_k", "depth"})
    """Keys that count when an index is searched, not when it is made."""
    INDEXED: ClassVar[bool] = False
    """Whether there is an index to make before one can search."""
    LIBRARIES: ClassVar[tuple[str, ...]] = ()
    """Packages that make terms or vectors of texts: passages and questions have to go through the same versions."""
    EMBEDDED: ClassVar[bool] = False
    """Whether that index is made of vectors, which are worked out before."""
    READS_RUNS: ClassVar[bool] = False
    """Whether the rankings of what it is built on are all that it takes from there: it never searches itself."""

    @property
    def model_folder(self) -> str | HubModel | None:
        """The folder of its model, where it has one."""
        return None

    @property
    def files(self) -> dict[str, str]:
        """Paths of files that determine what is found, by the keys that name them."""
        return {}

    @property
    def identity(self) -> dict[str, Any]:
        """What determines what is found."""
        return self.model_dump(exclude=set(self.NEUTRAL))

    @property
    def index_identity(self) -> dict[str, Any]:
        """What, beside the corpus, determines the index."""
        return self.model_dump(exclude={*self.NEUTRAL, *self.SEARCHING})


class FixedRetriever(_Retriever):
    """``given``: the question's own paragraphs; ``gold``: those with supporting facts; ``none``: closed book."""

    kind: Literal["given", "gold", "none"]


class _Ranked(_Retriever):
    top_k: int | list[int] = Field(
        5, description="How many passages a prompt gets; a list makes an experiment of each."
    )
    depth: int = Field(
        DEPTH,
        ge=SHOWN,
        description=f"How many passages a ranking has at most, from {SHOWN}; as many as the largest top_k in any case.",
    )

    @field_validator("top_k")
    @classmethod
    def _positive_and_distinct(cls, value: int | list[int]) -> int | list[int]:
        ks = value if isinstance(value, list) else [value]
        if not ks or min(ks) < 1 or len(set(ks)) < len(ks):
            raise ValueError("must be a whole number from 1, or a list of such numbers, each once")
        return value


class BM25Retriever(_Ranked):
    """BM25 (Robertson and Zaragoza 2009), by bm25s."""

    kind: Literal["bm25"]
    fields: Literal["title+text", "text"] = Field("title+text", description="What of a passage is searched.")
    tokenizer: Literal["word", "standard", "whitespace"] = Field(
        "word",
        description="word: two letters or digits and more; standard: Unicode's words, as Elasticsearch has them; "
        "whitespace: what stands between blanks. All in lower case.",
    )
    method: Literal["lucene", "robertson", "atire", "bm25l", "bm25+", "okapi"] = "lucene"
    k1: float = Field(0.9, ge=0, le=10)
    b: float = Field(0.4, ge=0, le=1)
    stemmer: Literal["english"] | None = "english"
    stopwords: Literal["english"] | None = "english"

    INDEXED: ClassVar[bool] = True
    LIBRARIES: ClassVar[tuple[str, ...]] = ("bm25s", "PyStemmer")


class _WithModel(_Ranked):
    model: ModelFolder = Field(
        description="Folder with a model of sentence-transformers, or {repo, revision} on the Hugging Face hub."
    )
    max_length: int | None = Field(
        None, ge=1, description="Tokens that the model sees of a text, the rest is cut off; null: as the model has it."
    )
    batch_size: int = Field(32, ge=1, description="Texts that go through the model at once.")
    options: Options = Field({}, description="Further settings of the model, by sentence-transformers' names.")
    gpus: Literal[0, 1] = Field(0, description="GPUs for each of its jobs; only that job sees it.")
    python: str | None = Field(
        None, description="Interpreter for its jobs, where sentence-transformers lives in another environment."
    )
    mem_mb: int = Field(
        8000, ge=1, description="MB of memory for each of its jobs on a cluster; a second attempt gets twice as much."
    )
    runtime: int = Field(
        240, ge=1, description="Minutes for each of its jobs on a cluster; a second attempt gets twice as many."
    )

    NEUTRAL: ClassVar[frozenset[str]] = _Ranked.NEUTRAL | {"batch_size", "gpus", "python", "shards"}
    LIBRARIES: ClassVar[tuple[str, ...]] = ("sentence-transformers", "transformers", "torch")

    @property
    def model_folder(self) -> str | HubModel | None:
        """The folder of its model."""
        return self.model


class Faiss(Section):
    """An approximate search, for more passages than a matrix product gets through."""

    factory: str = Field(
        min_length=1, description="The index in FAISS's own words (index_factory): HNSW32, IVF4096,PQ48, …"
    )
    search: str = Field("", description="How it is searched, in FAISS's words: nprobe=32, efSearch=128, …")
    train: int = Field(200_000, ge=1, description="Most passages that it learns its lists and codes from.")


class DenseRetriever(_WithModel):
    """Vectors of questions and passages by a model of sentence-transformers, compared by their inner product."""

    kind: Literal["dense"]
    query_prefix: str | None = Field(
        None, description="Put before each question, such as 'query: '; null: what the model's own settings say."
    )
    passage_prefix: str | None = Field(None, description="The same before each passage, such as 'passage: '.")
    title: bool = Field(True, description="Whether the model reads a passage's title before its text.")
    normalize: bool = Field(True, description="Vectors of length 1, so that the inner product is the cosine.")
    shards: int = Field(1, ge=1, description="Into how many jobs the embedding of the passages is split.")
    faiss: Faiss | None = Field(None, description="Approximate search by FAISS; null: exact, by matrix product.")

    SEARCHING: ClassVar[frozenset[str]] = _Ranked.SEARCHING | {"query_prefix"}
    INDEXED: ClassVar[bool] = True
    EMBEDDED: ClassVar[bool] = True

    @property
    def vectors_identity(self) -> dict[str, Any]:
        """What, beside the corpus and the model's bytes, determines the passages' vectors."""
        return self.model_dump(include={"model", "passage_prefix", "title", "normalize", "max_length", "options"})


class HybridRetriever(_Ranked):
    """The rankings of several retrievers made one."""

    kind: Literal["hybrid"]
    of: list[str] = Field(description="Names of the retrievers, two or more.")
    fusion: Literal["rrf", "sum"] = Field(
        "rrf", description="rrf: sum of 1 / (k + rank); sum: of the scores, each ranking's brought to 0 to 1."
    )
    k: int = Field(60, ge=0, description="Of rrf: the larger, the less the first ranks stand out.")
    weights: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, description="What each retriever counts, in the order of 'of'; null: all the same."
    )

    READS_RUNS: ClassVar[bool] = True

    @field_validator("of")
    @classmethod
    def _several(cls, value: list[str]) -> list[str]:
        if len(value) < 2:
            raise ValueError("must be the names of two retrievers or more")
        return value

    @model_validator(mode="after")
    def _a_weight_for_each(self) -> Self:
        if self.weights is not None and (len(self.weights) != len(self.of) or not any(self.weights)):
            raise ValueError(f"must have {len(self.of)} weights, one for each name in 'of', not all 0")
        return self


class RerankRetriever(_WithModel):
    """Another retriever's first passages in the order of a cross-encoder."""

    kind: Literal["rerank"]
    of: str = Field(description="Name of the retriever.")
    first: int = Field(
        DEPTH, ge=1, description="How many of its passages the model scores; the others follow in their old order."
    )

    READS_RUNS: ClassVar[bool] = True

    @property
    def scores_identity(self) -> dict[str, Any]:
        """What, beside the model's files, determines the score of a question with a passage."""
        return self.model_dump(include={"max_length", "options"})


class TwoHopRetriever(_Ranked):
    """What the first passages name is searched for as well, without a language model."""

    kind: Literal["two-hop"]
    of: str = Field(description="Name of the retriever that searches in both hops.")
    passages: int = Field(5, ge=1, description="How many passages of the first hop are followed, each by a search.")
    second: float = Field(0.7, ge=0, description="What the second hop's scores count beside the first's.")
    link: float = Field(1.0, ge=0, description="What it counts that a passage of the first hop mentions the title.")
    mention: float = Field(1.5, ge=0, description="What it counts that the question mentions a passage's title.")


class IterativeRetriever(_Ranked):
    """After each hop a reader writes the next query from what was found (IRCoT, Trivedi et al. 2023)."""

    kind: Literal["iterative"]
    of: str = Field(description="Name of the retriever that searches in each hop.")
    reader: str = Field(description="Name of the reader that writes the next query.")
    hops: int = Field(2, ge=2, le=10, description="How many searches there are; the first is for the question itself.")
    passages: int = Field(
        5,
        ge=1,
        le=SHOWN,
        description="How many of the passages found so far the reader is shown, the best of each hop.",
    )
    prompt: Prompt = Field(
        Prompt(template="next_query.jinja"), description="What the reader is asked, and in what form it is to answer."
    )

    READS_RUNS: ClassVar[bool] = True


class RunRetriever(_Ranked):
    """A ranking made elsewhere, as a TREC run file."""

    kind: Literal["run"]
    file: str = Field(description="The run file: lines of 'question Q0 passage rank score tag'.")

    NEUTRAL: ClassVar[frozenset[str]] = _Ranked.NEUTRAL | {"file"}

    @property
    def files(self) -> dict[str, str]:
        """The run: it counts what it holds, not where it lies."""
        return {"file": self.file}


class CustomRetriever(_Ranked):
    """A retriever of the user's own, ``kind: module:Class``."""

    kind: str = Field(pattern=CUSTOM)
    of: list[str] = Field([], description="Names of the retrievers that it is built on, if it is built on any.")
    options: Options = Field({}, description="Handed to the class.")


RETRIEVERS = (
    FixedRetriever,
    BM25Retriever,
    DenseRetriever,
    HybridRetriever,
    RerankRetriever,
    TwoHopRetriever,
    IterativeRetriever,
    RunRetriever,
    CustomRetriever,
)
"""The sections of all kinds."""
_TAGS = {kind: "fixed" if kind in ("given", "gold", "none") else kind for kind in KINDS}

Retriever = Annotated[
    Annotated[FixedRetriever, Tag("fixed")]
    | Annotated[BM25Retriever, Tag("bm25")]
    | Annotated[DenseRetriever, Tag("dense")]
    | Annotated[HybridRetriever, Tag("hybrid")]
    | Annotated[RerankRetriever, Tag("rerank")]
    | Annotated[TwoHopRetriever, Tag("two-hop")]
    | Annotated[IterativeRetriever, Tag("iterative")]
    | Annotated[RunRetriever, Tag("run")]
    | Annotated[CustomRetriever, Tag("custom")],
    Discriminator(lambda value: tag(value, "kind", _TAGS)),
]


def top_ks(retriever: Any) -> list[int | None]:
    """The values of top-k of a retriever, ascending; [None] when it has no such setting."""
    value = getattr(retriever, "top_k", None)
    return sorted(value) if isinstance(value, list) else [value]


def ranking_depth(retriever: Any) -> int:
    """How many passages its rankings have at most, where there is a limit at all."""
    return max(getattr(retriever, "depth", DEPTH), SHOWN, *(k for k in top_ks(retriever) if k))


def deepest(retriever: Any) -> int | None:
    """The same; None where a ranking is all there is, however much."""
    return ranking_depth(retriever) if hasattr(retriever, "depth") else None


def context_depth(retriever: Any) -> int | None:
    """How many passages its contexts have at most: as many as prompts take, or a page shows; None: all."""
    ks = [k for k in top_ks(retriever) if k]
    return max(SHOWN, *ks) if ks else None
