"""Shards' responses to one file: exactly one answer for each request, or an error that names what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hopeval.records import Response


@pytest.fixture
def merge(tmp_path: Path, write: Any) -> Callable[..., list[Any]]:
    """The arguments of a merge of shards, each a list of keys or the file's bytes, for requests a, b, … f."""
    asked = [{"key": key, "question_id": f"q-{key}"} for key in "abcdef"]

    def arguments(*shards: Any) -> list[Any]:
        paths = [
            write(f"{i}.jsonl", part)
            if isinstance(part, bytes)
            else write(f"{i}.jsonl", lines=[{"key": k, "text": str(i)} for k in part])
            for i, part in enumerate(shards)
        ]
        requests = write("requests.jsonl", lines=asked)
        return ["merge", "--requests", requests, "--responses", *paths, "--output", tmp_path / "out.jsonl"]

    return arguments


def test_merge_keeps_the_order_of_the_shards_and_the_first_of_two(
    tmp_path: Path, merge: Any, hopeval: Any, records: Any
) -> None:
    hopeval(*merge("cab", "", "bfed"))
    assert [(r.key, r.text) for r in records(tmp_path / "out.jsonl", Response)] == [
        *[(key, "0") for key in "cab"],
        *[(key, "2") for key in "fed"],
    ]


def test_merge_names_what_has_no_response(tmp_path: Path, merge: Any, refused: Any) -> None:
    message = refused(*merge("ab", "cde"), code=1)
    assert f"1 requests have no response; delete {tmp_path}" in message
    assert "asks only for what the journal lacks:\n  f (question 'q-f')\n" in message
    message = refused(*merge(""), code=1)
    assert "6 requests have no response" in message
    assert message.endswith("  e (question 'q-e')\n  and 1 more\n")
    assert not (tmp_path / "out.jsonl").exists()


def test_merge_refuses_a_response_that_was_not_asked(tmp_path: Path, merge: Any, refused: Any) -> None:
    assert "1.jsonl: response to x, which was not asked; run infer again" in refused(*merge("abc", "defx"), code=1)
    assert not (tmp_path / "out.jsonl").exists()


def test_merge_names_a_torn_line(merge: Any, refused: Any) -> None:
    for torn in (b'{"key": "d", "te', b'{"key": "\xff"}'):
        message = refused(*merge("abc", b'{"key": "f"}\n' + torn))
        assert "1.jsonl:2: " in message
        assert "delete the file and run infer again" in message


def test_merge_does_not_glue_lines_together(tmp_path: Path, merge: Any, hopeval: Any, records: Any) -> None:
    hopeval(*merge(b'{"key": "a"}\n{"key": "b"}', "cdef"))
    assert [r.key for r in records(tmp_path / "out.jsonl", Response)] == list("abcdef")
