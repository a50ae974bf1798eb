"""A finished run as the page needs it: what is small is read at once, what is large is read as it is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from hopeval.io import open_binary, read_json, read_records
from hopeval.metrics.hotpotqa import METRICS
from hopeval.records import Prediction, Question
from hopeval.report.board import load_calls
from hopeval.report.calls import Call
from hopeval.report.exports import read_table

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("id", "type", "level", "answer_kind", "question", "gold_answer", "answer", "status", "cell", "near_miss")


class Experiment(NamedTuple):
    """An experiment's name and its parts; ``top_k`` None: all that the retriever gives."""

    name: str
    retriever: str
    top_k: int | None
    prompt: str
    reader: str


@dataclass
class Run:
    """One dataset's results."""

    folder: Path
    provenance: Mapping[str, Any]
    experiments: list[Experiment]
    """In the order of the board: the best first."""
    questions: list[Question]
    calls: dict[str, dict[str, Call]] = field(default_factory=dict)
    """Of each reader by key."""

    @cached_property
    def names(self) -> list[str]:
        """The experiments' names."""
        return [experiment.name for experiment in self.experiments]

    @cached_property
    def retrievers(self) -> list[str]:
        """The retrievers in use, in the order of the experiments."""
        return list(dict.fromkeys(experiment.retriever for experiment in self.experiments))

    @cached_property
    def readers(self) -> list[str]:
        """The readers in use, likewise."""
        return list(dict.fromkeys(experiment.reader for experiment in self.experiments))

    def metrics(self, name: str) -> dict[str, Any]:
        """An experiment's metrics.json."""
        found: dict[str, Any] = read_json(self._of(name) / "metrics.json")
        return found

    def table(self, name: str) -> "pd.DataFrame":
        """An experiment's questions.csv, in the order of the questions; texts as they are, '' for none."""
        import pandas as pd

        numbers = {metric: [""] for metric in METRICS}
        path = self._of(name) / "questions.csv"
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=numbers)
        return table.set_index("id").reindex([question.id for question in self.questions])

    def predictions(self, name: str) -> Iterator[Prediction]:
        """An experiment's predictions in the order of the questions."""
        return read_records(self._of(name) / "predictions.jsonl", Prediction)

    def keys(self, name: str) -> dict[str, str]:
        """The key of each question's request."""
        return {p.question_id: p.key for p in self.predictions(name) if p.key}

    def csv(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table in the results folder, None for what is empty."""
        table = read_table(self.folder / name)
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        return [{str(column): value for column, value in row.items()} for row in rows]

    def _of(self, name: str) -> Path:
        return self.folder / "experiments" / name


def load_run(folder: Path) -> Run:
    """A run by its results folder. Raises InputError for a file that is missing or of another run."""
    board = read_table(folder / "leaderboard.csv")
    found = [_experiment(row) for _, row in board.iterrows()]
    return Run(
        folder=folder,
        provenance=read_json(folder / "provenance.json"),
        experiments=found,
        questions=list(read_records(folder / "questions.jsonl", Question)),
        calls=load_calls(folder, (experiment.reader for experiment in found)),
    )


def _experiment(row: Any) -> Experiment:
    top_k = None if row["top_k"] != row["top_k"] else int(row["top_k"])  # NaN: none
    return Experiment(row["experiment"], row["retriever"], top_k, row["prompt"], row["reader"])


class Answer(msgspec.Struct):
    """A response's text, with what the model thought where that was kept apart."""

    key: str
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    error: str | None = None


class Answers:
    """A reader's responses, each read from the file when it is asked for: they come in another order than
    the questions, and long texts need not all fit in memory.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = open_binary(path)
        self._places: dict[str, int] = {}
        self._decoder = msgspec.json.Decoder(Answer)
        key = msgspec.json.Decoder(_Keyed)
        place = 0
        for line in self._file:
            self._places[key.decode(line).key] = place
            place += len(line)

    def get(self, key: str | None) -> Answer | None:
        """The answer to a request, if there is one."""
        if key is None or key not in self._places:
            return None
        self._file.seek(self._places[key])
        return self._decoder.decode(self._file.readline())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Keyed(msgspec.Struct):
    key: str
