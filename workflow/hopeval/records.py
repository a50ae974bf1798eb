"""The records that pass between stages: JSON Lines, one kind a file.

Unknown fields in a file are ignored; a wrong type or a missing field is an error with file and line
(see :mod:`hopeval.io`). Optional fields that hold their default are not written.
"""

from collections.abc import Iterable
from typing import Any, Literal, get_args

from msgspec import Struct

SupportingFact = tuple[str, int]
"""A passage's title and the index of one of its sentences, from 0."""

Status = Literal["ok", "truncated", "unparsable", "error", "missing"]
"""What became of a question: a wrong answer is ``ok``, the others are the other ways to fail."""
STATUSES: tuple[Status, ...] = get_args(Status)


class Named(Struct, kw_only=True):
    """What a passage goes by."""

    id: str
    title: str


class Question(Struct, kw_only=True, omit_defaults=True):
    """A question, its gold where known, and the ids of the passages that came with it, in order."""

    id: str
    text: str
    answer: str | None = None
    type: str | None = None
    level: str | None = None
    supporting_facts: list[SupportingFact] | None = None
    relevant: dict[str, int] = {}
    """The grade, from 1, of each passage that is judged relevant, by its id; empty where passages are not judged."""
    passages: list[str] = []
    extra: dict[str, Any] = {}
    """Further keys of a contexts file, carried over to its results file."""

    @property
    def gold_titles(self) -> list[str]:
        """Titles of the passages that hold a supporting fact, each once, in order of mention."""
        return list(dict.fromkeys(title for title, _ in self.supporting_facts or []))

    @property
    def gold(self) -> dict[str, int]:
        """The grade of each gold passage: by id where passages are judged, else 1 for each gold title."""
        return self.relevant or dict.fromkeys(self.gold_titles, 1)

    def names(self, passages: Iterable[Named]) -> list[str]:
        """What ``gold`` would call each of these passages: its id where passages are judged, else its title."""
        return [passage.id if self.relevant else passage.title for passage in passages]


class Passage(Named, kw_only=True):
    """A titled paragraph in sentences; ``"".join(sentences)`` is its text, as in HotpotQA."""

    sentences: list[str]

    @property
    def text(self) -> str:
        """The paragraph, without its title."""
        return "".join(self.sentences)


class RankedPassage(Passage, kw_only=True):
    """A passage with the retriever's score; higher is better, 0 where the retriever does not score."""

    score: float = 0.0


class Hit(Struct, omit_defaults=True, gc=False):  # millions of them, and none is part of a cycle
    """A passage in a ranking: its id, and the retriever's score, higher is better, 0 where it does not score.

    ``passage`` only where the text is neither in the corpus nor among the questions' own paragraphs.
    """

    id: str
    score: float = 0.0
    passage: Passage | None = None


class Context(Struct, kw_only=True):
    """What a retriever found for a question, best first."""

    question_id: str
    retriever: str
    passages: list[RankedPassage]


class Ranking(Struct):
    """As much of a context as tells what was found: without the text of its passages."""

    question_id: str
    passages: list[Named]


class Message(Struct):
    """One turn of a chat: role ``system``, ``user`` or ``assistant``."""

    role: str
    content: str


class Request(Struct, kw_only=True, omit_defaults=True):
    """One prompt to one reader, and the experiments that wait for its answer.

    ``sentences`` says which sentence each label in the prompt stands for; ``omitted_passages`` counts
    the lowest-ranked ones that were left out for each experiment because the window was too small.
    ``reader`` is the digest of the model and sampling that the key was made for.
    """

    key: str
    question_id: str
    reader: str = ""
    messages: list[Message]
    schema: dict[str, Any] | None = None
    sentences: dict[str, SupportingFact] = {}
    experiments: list[str] = []
    tokens_estimate: int = 0
    omitted_passages: dict[str, int] = {}


class Response(Struct, kw_only=True, omit_defaults=True):
    """What came back for a request. With ``error`` set nothing was answered and it is asked again.

    ``reasoning`` is the thinking that came before the text. ``queue_s`` is the time between the start of
    the job and the first call, ``latency_s`` from there to the answer, all ``attempts`` and the pauses
    between them included, both in seconds. ``retried_for`` says why each attempt before the last failed.
    ``at`` is UTC in ISO 8601.
    """

    key: str
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    error: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    queue_s: float = 0.0
    latency_s: float = 0.0
    attempts: int = 1
    retried_for: list[str] = []
    shard: str = ""
    host: str = ""
    devices: list[str] = []
    engine: str = ""
    at: str = ""


class Prediction(Struct, kw_only=True, omit_defaults=True):
    """A response read as an answer. ``answer`` is None where there is none to score."""

    question_id: str
    answer: str | None = None
    supporting_facts: list[SupportingFact] = []
    status: Status = "missing"
    detail: str | None = None
    """Why the status is not ``ok``."""
    unknown_labels: int = 0
    """Citations of sentences that are not in the prompt."""
    omitted_passages: int = 0
    key: str | None = None
