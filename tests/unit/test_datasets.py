"""Files of questions to records: both layouts of HotpotQA, contexts files, and what is wrong with either."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hopeval.commands.prepare import detect_format
from hopeval.datasets import contexts, hotpotqa
from hopeval.datasets.base import Item, unique
from hopeval.errors import InputError
from hopeval.records import Passage

ROW = {
    "_id": "5a8b57f25542995d1e6f1371",
    "question": "Were Scott Derrickson and Ed Wood of the same nationality?",
    "answer": "yes",
    "type": "comparison",
    "level": "hard",
    "supporting_facts": [["Scott Derrickson", 0], ["Ed Wood", 0]],
    "context": [
        ["Ed Wood (film)", ["A film.", " By Tim Burton."]],
        ["Scott Derrickson", ["A director."]],
        ["Ed Wood", ["x"]],
    ],
}


def as_columns(row: dict[str, Any]) -> dict[str, Any]:
    """The row as the Hugging Face copy has it."""
    return {
        **{key: row[key] for key in ("question", "answer", "type", "level")},
        "id": row["_id"],
        "supporting_facts": {
            "title": [t for t, _ in row["supporting_facts"]],
            "sent_id": [i for _, i in row["supporting_facts"]],
        },
        "context": {"title": [t for t, _ in row["context"]], "sentences": [s for _, s in row["context"]]},
    }


def read(form: Any, path: Path) -> list[Item]:
    return list(unique(form.read(path), path))


def without_ids(passages: Iterable[Passage]) -> list[tuple[str, list[str]]]:
    return [(passage.title, passage.sentences) for passage in passages]


# HotpotQA


def test_the_official_layout(write: Any) -> None:
    (item,) = read(hotpotqa, write("dev.json", [ROW]))
    question = item.question
    assert (question.id, question.text, question.answer) == (ROW["_id"], ROW["question"], "yes")
    assert (question.type, question.level) == ("comparison", "hard")
    assert question.supporting_facts == [("Scott Derrickson", 0), ("Ed Wood", 0)]
    assert question.gold_titles == ["Scott Derrickson", "Ed Wood"]
    assert without_ids(item.passages) == [(title, sentences) for title, sentences in ROW["context"]]
    assert question.passages == [passage.id for passage in item.passages]
    assert item.passages[0].text == "A film. By Tim Burton."
    assert (item.skipped, item.doubts) == (None, [])


@pytest.mark.parametrize("layout", ["array", "lines"])
def test_the_columns_of_the_hugging_face_copy_give_the_same_records(write: Any, layout: str) -> None:
    rows = [ROW, {**ROW, "_id": "second", "supporting_facts": [], "context": []}]
    columns = [as_columns(row) for row in rows]
    path = write("hf.json", columns) if layout == "array" else write("hf.json", lines=columns)
    assert read(hotpotqa, path) == read(hotpotqa, write("official.json", rows))


@pytest.mark.parametrize(("key", "column"), [("context", "sentences"), ("supporting_facts", "sent_id")])
def test_columns_of_unequal_length_lose_nothing_in_silence(write: Any, key: str, column: str) -> None:
    row = as_columns(ROW)
    row[key][column].pop()
    with pytest.raises(InputError, match=rf"hf.json:1: '{key}' has columns of unequal length: \d in 'title' and \d in"):
        read(hotpotqa, write("hf.json", [row]))


def test_further_keys_of_2wikimultihopqa_are_passed_over(write: Any) -> None:
    more = {
        "evidences": [["Ed Wood", "country", "USA"]],
        "evidences_id": [["Q1", "P1", "Q2"]],
        "answer_id": "Q3",
        "entity_ids": "Q1_Q2",
    }
    assert read(hotpotqa, write("2wiki.json", [{**ROW, **more}])) == read(hotpotqa, write("dev.json", [ROW]))


@pytest.mark.parametrize("gold", [{}, {"answer": None, "supporting_facts": None, "type": None, "level": None}])
def test_a_test_set_has_no_gold(write: Any, gold: dict[str, Any]) -> None:
    row = {key: ROW[key] for key in ("_id", "question", "context")} | gold
    (item,) = read(hotpotqa, write("test.json", [row]))
    assert (item.question.answer, item.question.supporting_facts, item.question.gold_titles) == (None, None, [])
    assert len(item.passages) == 3


def test_answers_alone_are_enough(write: Any) -> None:
    (item,) = read(hotpotqa, write("answers.json", [{"_id": "a", "question": "?", "answer": "yes", "type": "bridge"}]))
    assert (item.question.answer, item.passages) == ("yes", [])


def test_doubtful_supporting_facts_are_kept_and_told(write: Any) -> None:
    facts = [["Ed Wood", 1], ["Ed Wood", 0], ["Ed Wood", -1], ["Nobody", 0]]
    (item,) = read(hotpotqa, write("dev.json", [{**ROW, "supporting_facts": facts}]))
    assert item.question.supporting_facts == [(title, index) for title, index in facts]
    assert [doubt.partition(": ")[2] for doubt in item.doubts] == [
        "supporting fact names sentence 1 of 'Ed Wood', which has 1",
        "supporting fact names sentence -1 of 'Ed Wood', which has 1",
        "supporting fact names 'Nobody', which is not among its paragraphs",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"_id": 5}, "Expected `str`, got `int` - at `$._id` (id 5); mend or drop the row"),
        ({"question": None}, "Expected `str`, got `null` - at `$.question` (id 'x')"),
        ({"answer": True}, "got `bool` - at `$.answer` (id 'x')"),
        ({"supporting_facts": [["A", 0], ["B", "1"]]}, "Expected `int`, got `str` - at `$.supporting_facts[1][1]`"),
        ({"supporting_facts": [["A"]]}, "at `$.supporting_facts[0]`"),
        ({"supporting_facts": [["A", 0.0]]}, "Expected `int`, got `float` - at `$.supporting_facts[0][1]`"),
        ({"context": [["A", "not in sentences"]]}, "Expected `array`, got `str` - at `$.context[0][1]`"),
        ({"context": {"title": ["A"]}}, "Expected `array`, got `object` - at `$.context`"),
    ],
)
def test_a_row_of_the_wrong_shape_is_named_with_line_and_id(write: Any, change: dict[str, Any], said: str) -> None:
    path = write("dev.json", json.dumps([ROW, {**ROW, "_id": "x", **change}], indent=0))
    line = path.read_text().splitlines().index("{", 2) + 1
    with pytest.raises(InputError) as error:
        read(hotpotqa, path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert said in str(error.value)


@pytest.mark.parametrize("row", [None, 3, "text", [1]])
def test_a_row_that_is_no_object_is_named(write: Any, row: Any) -> None:
    for form in (hotpotqa, contexts):
        with pytest.raises(InputError, match=r"rows.json:1: Expected `object`"):
            read(form, write("rows.json", [row]))


@pytest.mark.parametrize("separators", ["on one line", "on lines of their own"])
def test_an_id_that_comes_twice_is_named(write: Any, separators: str) -> None:
    rows = [ROW, {**ROW, "_id": "other"}, ROW]
    path = write("dev.json", rows) if separators == "on one line" else write("dev.json", lines=rows)
    again = 1 if separators == "on one line" else 3
    with pytest.raises(
        InputError, match=rf"dev.json:{again}: id '{ROW['_id']}' was already used on line 1; ids must be"
    ):
        read(hotpotqa, path)


# Contexts files

ITEM = {
    "id": 7,
    "query": "Who?",
    "context": "He did.",
    "retrieval_method": "bm25",
    "retrieval_time": 0.5,
    "success": True,
}


def passages_of(write: Any, context: Any) -> list[tuple[str, list[str]]]:
    (item,) = read(contexts, write("contexts.jsonl", lines=[{**ITEM, "context": context}]))
    return without_ids(item.passages)


@pytest.mark.parametrize(
    ("context", "passages"),
    [
        ("One text.", [("", ["One text."])]),
        ("One line.\n\nAnother.\n", [("", ["One line.\n", "Another.\n"])]),
        (["First.", "Second."], [("", ["First."]), ("", ["Second."])]),
        ([{"title": "T", "text": "Text."}, {"text": "No title."}], [("T", ["Text."]), ("", ["No title."])]),
        ([{"title": "T", "sentences": ["a", "", " b"], "score": 3}], [("T", ["a", " b"])]),
        (["Plain.", {"title": "T", "text": "Text."}], [("", ["Plain."]), ("T", ["Text."])]),
        (["", " \n", {"title": "T", "text": ""}], []),
        ("", []),
        ([], []),
        (None, []),
    ],
)
def test_contexts_come_as_text_list_or_objects(write: Any, context: Any, passages: Any) -> None:
    assert passages_of(write, context) == passages


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"context": [{"title": "T", "content": "lost"}]},
            "a passage without 'text' or 'sentences' - at `$.context[0]`",
        ),
        ({"context": {"title": "T", "text": "t"}}, "got `object` - at `$.context` (id 7)"),
        ({"context": ["a", 3]}, "got `int` - at `$.context[1]`"),
        ({"query": None}, "Expected `str`, got `null` - at `$.query`"),
        ({"id": 1.5}, "got `float` - at `$.id`"),
        ({"id": None}, "got `null` - at `$.id`"),
        ({"success": "false"}, "Expected `bool`, got `str` - at `$.success`"),
    ],
)
def test_a_contexts_row_of_the_wrong_shape_is_named(write: Any, change: dict[str, Any], said: str) -> None:
    path = write("contexts.jsonl", lines=[{**ITEM, "id": 1}, {**ITEM, **change}])
    with pytest.raises(InputError) as error:
        read(contexts, path)
    assert f"{path}:2: " in str(error.value)
    assert said in str(error.value)


def test_further_keys_are_carried_over_and_ids_become_text(write: Any) -> None:
    (item,) = read(contexts, write("contexts.jsonl", lines=[ITEM]))
    assert item.question.id == "7"
    assert item.question.extra == {key: value for key, value in ITEM.items() if key != "context"}


def test_a_failed_retrieval_is_passed_over(write: Any) -> None:
    failed = {**ITEM, "id": "b", "context": None, "success": False}
    items = read(contexts, write("contexts.jsonl", lines=[ITEM, failed]))
    assert [item.skipped for item in items] == [None, "success is false in the contexts file"]
    assert items[1].question.extra["success"] is False


def test_the_number_7_and_the_text_7_are_the_same_id(write: Any) -> None:
    with pytest.raises(InputError, match=r"contexts.jsonl:2: id '7' was already used on line 1"):
        read(contexts, write("contexts.jsonl", lines=[ITEM, {**ITEM, "id": "7"}]))


# Which format


@pytest.mark.parametrize(
    ("rows", "form"),
    [([ROW], "hotpotqa"), ([as_columns(ROW)], "hotpotqa"), ([ITEM], "contexts"), ([{**ROW, "query": "?"}], "hotpotqa")],
)
def test_the_format_shows_in_the_first_row(write: Any, rows: list[Any], form: str) -> None:
    assert detect_format(write("rows", rows)) == form
    assert detect_format(write("rows", lines=rows)) == form


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"data": []}], "the first row has 'data'; HotpotQA's rows have '_id', 'question', 'context'"),
        ([3], "the first row has a int"),
        ([], "holds no question; check dataset.questions"),
        ("", "holds no question"),
    ],
)
def test_a_file_of_no_format_is_refused(write: Any, content: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        detect_format(write("rows.json", content))
    assert said in str(error.value)


# Real files


@pytest.mark.parametrize(
    ("name", "count", "passages", "doubts"),
    [
        ("hotpotqa/dev_distractor_1000.json", 1000, None, None),
        ("hotpotqa/train_300_levels.json", 300, None, None),
        ("hotpotqa/dev_fullwiki_400.json", 400, None, None),
        ("hotpotqa/dev_7405_answers_only.json", 7405, 0, 0),
        ("odd/huggingface_columns_300.jsonl", 300, None, None),
    ],
)
def test_real_files_are_read_whole(
    shared: Callable[[str], Path], name: str, count: int, passages: int | None, doubts: int | None
) -> None:
    path = shared(name)
    items = read(hotpotqa, path)
    assert detect_format(path) == "hotpotqa"
    assert len(items) == count
    assert all(item.question.answer for item in items)
    assert passages is None or sum(len(item.passages) for item in items) == passages
    assert doubts is None or sum(len(item.doubts) for item in items) == doubts


def test_real_columns_are_the_official_rows(shared: Callable[[str], Path]) -> None:
    official = {item.question.id: item for item in read(hotpotqa, shared("hotpotqa/dev_distractor_1000.json"))}
    columns = read(hotpotqa, shared("odd/huggingface_columns_300.jsonl"))
    both = [(item, official[item.question.id]) for item in columns if item.question.id in official]
    assert both
    assert all(one == other for one, other in both)


def test_a_real_file_with_repeated_ids_is_refused(shared: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="was already used on line"):
        read(hotpotqa, shared("odd/duplicate_ids_1000.json"))


def test_a_real_file_that_is_cut_off_is_refused(shared: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"truncated.json:\d+: malformed JSON"):
        read(hotpotqa, shared("odd/truncated.json"))
