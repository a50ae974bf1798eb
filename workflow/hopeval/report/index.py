"""What the page needs of every question at once, to search and filter: in columns, a letter a question."""

from typing import TYPE_CHECKING, Any

from hopeval.metrics.failures import ANSWERED, NEAR_MISSES, RETRIEVED
from hopeval.report.run import Run

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "-"
ANSWERED_LETTERS = dict(zip(ANSWERED, "rwutem", strict=True))
RETRIEVED_LETTERS = dict(zip(RETRIEVED, "asnx", strict=True))
NEAR_LETTERS = dict(zip(NEAR_MISSES, "fc", strict=True))


def question_index(run: Run) -> dict[str, Any]:
    """Columns over the questions, in their order, and for each experiment what became of them.

    ``status``, ``answered``, ``retrieved`` and ``near`` are texts with a letter a question, ``-`` where nothing
    is known; a status has its first letter.
    """
    return {
        "id": [question.id for question in run.questions],
        "text": [question.text for question in run.questions],
        "gold": [question.answer for question in run.questions],
        "type": _coded([question.type for question in run.questions]),
        "level": _coded([question.level for question in run.questions]),
        "experiments": [_of_experiment(run.table(name)) for name in run.names],
    }


def _coded(values: list[str | None]) -> dict[str, Any]:
    """The distinct values, and for each question which it is; -1 for none."""
    names = sorted({value for value in values if value is not None})
    places = {name: place for place, name in enumerate(names)}
    return {"names": names, "codes": [-1 if value is None else places[value] for value in values]}


def _of_experiment(table: "pd.DataFrame") -> dict[str, Any]:
    cells = [cell.partition("/") for cell in table["cell"].fillna("")]
    return {
        "answer": table["answer"].fillna("").to_list(),
        "retrieved": "".join(RETRIEVED_LETTERS.get(row, UNKNOWN) for row, _, _ in cells),
        "status": "".join(status[:1] or UNKNOWN for status in table["status"].fillna("")),
        "answered": "".join(ANSWERED_LETTERS.get(column, UNKNOWN) for _, _, column in cells),
        "near": "".join(NEAR_LETTERS.get(near, UNKNOWN) for near in table["near_miss"].fillna("")),
    }
