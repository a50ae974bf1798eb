"""Model text to answers: tolerant of dress, strict about substance, and never stuck."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.parsing import Parsed, parse, read_text

SENTENCES = {str(label): (f"T{label}", label) for label in range(1, 13)}
WHOLE = '{"answer": "Kuortane", "supporting_facts": [2, 4]}'
KUORTANE = ("Kuortane", ["2", "4"])


def facts(labels: list[str]) -> list[tuple[str, int]]:
    return [SENTENCES[label] for label in labels]


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        f"```json\n{WHOLE}\n```",
        f"Sure! Here is the answer:\n\n{WHOLE}\n\nI hope this helps.",
        '{"supporting_facts": [2, 4], "answer": " Kuortane "}',
        '{"answer": "Kuortane", "supporting_facts": ["2", "[4]"]}',
        '{"answer": "Kuortane", "supporting_facts": [2, 4, 2]}',
        '{"answer": "Kuortane", "supporting_facts": "2, 4"}',
        '{\n  "answer": "Kuortane",\n  "supporting_facts": [\n    2,\n    4\n  ],\n  "confidence": 0.9\n}',
        f'{{"thought": "first"}} {WHOLE}',
        f"{WHOLE}{WHOLE}",
        f"Set {{1, 2}} and {{x}}: {WHOLE}",
        f'{{"result": {WHOLE}}}',
        '{"answer": "Kuortane", "supporting_facts": [2, 4]} {"answer": "another"}',
    ],
)
@pytest.mark.parametrize("output", ["json", "text"])
@pytest.mark.parametrize("finish_reason", ["stop", "length", None])
def test_json_is_found_in_any_dress(text: str, output: str, finish_reason: str | None) -> None:
    answer, labels = KUORTANE
    assert parse(text, output, SENTENCES, finish_reason) == Parsed(answer, facts(labels), "ok")


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("true", "yes"),
        ("false", "no"),
        ("1994", "1994"),
        ("-2.5", "-2.5"),
        ('""', ""),
        ('"caf\\u00e9 \\ud83d\\ude00"', "café 😀"),
        ('"half \\ud83d"', "half ?"),
        ('"two\\nlines"', "two\nlines"),
    ],
)
def test_answers_of_other_kinds_become_text_that_a_file_can_hold(value: str, answer: str) -> None:
    parsed = parse(f'{{"answer": {value}, "supporting_facts": []}}', "json", SENTENCES, "stop")
    assert parsed == Parsed(answer, [], "ok")
    assert parsed.answer is not None
    parsed.answer.encode()  # raises for half a surrogate pair


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "I do not know.",
        "null",
        "[]",
        '"Kuortane"',
        "{}",
        '{"answer": null, "supporting_facts": []}',
        '{"answer": ["Kuortane"], "supporting_facts": []}',
        '{"reply": "Kuortane"}',
        "{'answer': 'Kuortane'}",
        '{"answer": Kuortane}',
        '{"answer": "Kuortane", "supporting_facts": [2, 4}',
    ],
)
def test_what_is_no_json_answer_is_unparsable(text: str) -> None:
    parsed = parse(text, "json", SENTENCES, "stop")
    assert (parsed.answer, parsed.supporting_facts, parsed.status) == (None, [], "unparsable")
    assert parsed.detail == ("no answer in this form in the text" if parsed.detail != "empty text" else "empty text")


def test_an_empty_text_is_said_to_be_empty() -> None:
    assert parse(" \n", "json", {}, "stop").detail == "empty text"


@pytest.mark.parametrize(
    ("text", "answer", "labels"),
    [
        ("Answer: Kuortane\nSentences: 2, 4", *KUORTANE),
        ("answer:Kuortane\n\nsupporting facts: [2], [4]", *KUORTANE),
        ("**Answer:** Kuortane\n**Sentences:** 2 and 4", *KUORTANE),
        ("**Answer**: **Kuortane**\n- Citations: [2, 4]", *KUORTANE),
        ("### Final answer: Kuortane [2; 4]", *KUORTANE),
        ("The answer is Kuortane [2][4]", *KUORTANE),
        ("The short answer is: Kuortane\nEvidence: 2, 4", *KUORTANE),
        ("Alvar Aalto designed it [2].\nHe was born there [4].\nAnswer: Kuortane", *KUORTANE),
        ("Answer: Helsinki?\nNo, wait.\nAnswer: Kuortane\nSources: 2, 4", *KUORTANE),
        ("> Answer: `Kuortane`\r\n> Sentences: 2, 4\r\n", *KUORTANE),
        ("Answer:\nKuortane\nSentences: 2, 4", *KUORTANE),
        ("**Answer:**\n\nKuortane [2, 4]", *KUORTANE),
        ("Kuortane", "Kuortane", []),
        ("  Kuortane [2]\n\n", "Kuortane", ["2"]),
        ("Kuortane\nSentences: 2, 4", *KUORTANE),
        ("yes", "yes", []),
        ('Answer: "yes"', "yes", []),
    ],
)
def test_plain_text_is_read_tolerantly(text: str, answer: str, labels: list[str]) -> None:
    assert parse(text, "text", SENTENCES, "stop") == Parsed(answer, facts(labels), "ok")


@pytest.mark.parametrize(
    "text", ["", "Answer:", "Answer: \n\n", "**Answer:**", "Sentences: 2", "One line.\nTwo lines."]
)
def test_nothing_is_guessed_from_plain_text(text: str) -> None:
    parsed = parse(text, "text", SENTENCES, "stop")
    assert (parsed.answer, parsed.status) == (None, "unparsable")


@pytest.mark.parametrize(
    ("citations", "unknown"),
    [
        ("[2, 4, 13, 0]", 2),
        ("[2, 4, 13, 13, -2]", 2),
        ('["2", "4", "T2"]', 1),
        ('[2, 4, ["T2", 2], null, true, 2.5]', 4),
    ],
)
def test_citations_of_what_is_not_there_are_counted(citations: str, unknown: int) -> None:
    parsed = parse(f'{{"answer": "Kuortane", "supporting_facts": {citations}}}', "json", SENTENCES, "stop")
    assert parsed == Parsed("Kuortane", facts(["2", "4"]), "ok", None, unknown)


def test_two_labels_of_one_sentence_are_one_fact() -> None:
    parsed = parse('{"answer": "x", "supporting_facts": [1, 2]}', "json", {"1": ("A", 0), "2": ("A", 0)}, "stop")
    assert parsed.supporting_facts == [("A", 0)]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.strip)
replies = st.fixed_dictionaries(
    {"answer": words, "supporting_facts": st.lists(st.integers(1, 12), max_size=4, unique=True)},
    optional={"note": words},
).flatmap(lambda reply: st.permutations(list(reply.items())).map(dict))


@given(replies, st.sampled_from([None, 2]), st.booleans(), st.sampled_from(["length", "stop"]))
def test_no_prefix_of_a_reply_is_another_answer(
    reply: dict[str, Any], indent: int | None, ascii_only: bool, finish_reason: str
) -> None:
    text = json.dumps(reply, indent=indent, ensure_ascii=ascii_only)
    wanted = [SENTENCES[str(label)] for label in reply["supporting_facts"]]
    assert parse(text, "json", SENTENCES, finish_reason) == Parsed(reply["answer"], wanted, "ok")
    for end in range(len(text)):
        part = parse(text[:end], "json", SENTENCES, finish_reason)
        assert part.status == ("truncated" if finish_reason == "length" else "unparsable")
        assert part.answer in (None, reply["answer"])
        assert part.supporting_facts == wanted[: len(part.supporting_facts)]
        assert part.unknown_labels == 0


@pytest.mark.parametrize(
    "text", ["Answer: Lake Kariba\nSentences: 2, 12\n", "Lake Kariba", "They say so [1].\nAnswer: Lake Kariba"]
)
def test_no_prefix_of_a_plain_reply_is_another_answer(text: str) -> None:
    wanted = parse(text, "text", SENTENCES, "stop")
    for end in range(len(text)):
        part = parse(text[:end], "text", SENTENCES, "length")
        assert part.status == "truncated"
        assert part.answer in (None, wanted.answer)
        assert set(part.supporting_facts) <= set(wanted.supporting_facts)


@pytest.mark.parametrize(
    ("text", "answer", "labels"),
    [
        ('{"answer": "Kuortane", "supporting_facts": [2, 1', "Kuortane", ["2"]),
        ('{"answer": "Kuortane", "supporting_facts": [2, 4]', "Kuortane", ["2", "4"]),
        ('{"supporting_facts": [2, 4], "answer": "Kuortane"', "Kuortane", ["2", "4"]),
        ('{"answer": "Kuortane", "supporting_facts": ["2", "4', "Kuortane", ["2"]),
        ('{"answer": "a \\"b\\" c", "supp', 'a "b" c', []),
        ('{"answer": "Kuort', None, []),
        ('{"supporting_facts": [2, 4], "ans', None, ["2", "4"]),
    ],
)
def test_of_a_cut_off_reply_the_complete_parts_are_kept(text: str, answer: str | None, labels: list[str]) -> None:
    parsed = parse(text, "json", SENTENCES, "length")
    assert parsed[:3] == (answer, facts(labels), "truncated")
    assert parsed.detail == "the token limit was reached (sampling.max_tokens)"


HOSTILE = [
    "{",
    "[",
    '{"',
    '{"a":',
    '{"answer":',
    '{"a":[',
    '"answer": "',
    '\\"',
    "\n",
    "\n#\n",
    " ",
    "- ",
    "*",
    "<think>",
    "[1, ",
]
HOSTILE += ["answer\n", "Answer: ", "Sources\n", "the final ", "[ 1 ", '{"answer": {}}', "</think>", "\u2028", "]", "9"]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_hostile_text_of_100_kilobytes_is_no_trouble(piece: str, finish_reason: str) -> None:
    text = piece * (100_000 // len(piece))
    for output in ("json", "text"):
        parsed = parse(text, output, SENTENCES, finish_reason)
        assert parsed.status in ("ok", "truncated", "unparsable")
    assert parse(text, "json", SENTENCES, "stop").status == "unparsable"


@given(st.text(), st.sampled_from(["json", "text"]), st.sampled_from(["stop", "length", None]))
def test_any_text_has_one_of_three_outcomes(text: str, output: str, finish_reason: str | None) -> None:
    parsed = parse(text, output, SENTENCES, finish_reason)
    assert (parsed.status == "ok") == (parsed.detail is None)
    assert parsed.status != "ok" or parsed.answer is not None
    assert parsed.status != "truncated" or finish_reason == "length"


def test_labels_come_in_order_each_once() -> None:
    assert read_text("See [3] and [1, 3].\nAnswer: x [2]\nSentences: 5, 3") == ("x", ["5", "3", "1", "2"])
