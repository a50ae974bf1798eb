"""Records to files and back; every way a file can be damaged is told with its place."""

import gzip
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.errors import InputError
from hopeval.io import RecordWriter, atomic_write, read_json, read_records, write_json, write_records
from hopeval.records import (
    Context,
    Message,
    Passage,
    Prediction,
    Question,
    RankedPassage,
    Request,
    Response,
)

ODD = 'naïve \u2028\u2029\x85\x0b\x00 "quoted" \\ 𝒳 \n\r\t 日本 ' + "w" * 100_000
PASSAGE = {"id": ODD, "title": ODD, "sentences": [ODD, "", " "]}
RECORDS = [
    Question(id="q", text=""),
    Question(id=ODD, text=ODD, answer="", type=ODD, level=ODD, supporting_facts=[(ODD, 0), ("", -1)]),
    Question(id="q", text="t", supporting_facts=[], passages=[ODD], extra={ODD: [1, None, {"deep": ODD}]}),
    Passage(**PASSAGE),
    RankedPassage(**PASSAGE, score=-0.1),
    Context(question_id=ODD, retriever="given", passages=[RankedPassage(**PASSAGE, score=1e-300)]),
    Context(question_id="q", retriever="none", passages=[]),
    Request(key="k", question_id=ODD, messages=[Message("user", ODD)]),
    Request(
        key="k",
        question_id="q",
        messages=[],
        schema={"enum": [1, ODD]},
        sentences={"1": (ODD, 3)},
        experiments=[ODD],
        tokens_estimate=2**40,
        omitted_passages={ODD: 2},
    ),
    Response(key="k"),
    Response(key="k", text=ODD, finish_reason="length", error="", latency_s=1e9, attempts=4, devices=["0", ODD]),
    Prediction(question_id="q"),
    Prediction(question_id=ODD, answer="", supporting_facts=[(ODD, 0)], status="truncated", unknown_labels=1),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
@pytest.mark.parametrize("packed", [False, True])
def test_every_record_comes_back_as_it_was(tmp_path: Path, record: Any, packed: bool) -> None:
    path = tmp_path / "records.jsonl"
    assert write_records(path, [record, record]) == 2
    assert path.read_bytes().count(b"\n") == 2
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_records(path, type(record))) == [record, record]


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(st.builds(Prediction, question_id=text, answer=st.none() | text, detail=st.none() | text)))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, records: list[Prediction]) -> None:
    path = tmp_path_factory.mktemp("any") / "records.jsonl"
    write_records(path, records)
    assert list(read_records(path, Prediction)) == records


def test_unknown_fields_are_ignored_and_blank_lines_passed_over(write: Any) -> None:
    path = write("r.jsonl", '\n{"key": "a", "new": [1]}\n  \n\n{"key": "b"}')
    assert [record.key for record in read_records(path, Response)] == ["a", "b"]


def test_byte_order_mark_is_no_part_of_the_data(write: Any) -> None:
    content = b"\xef\xbb\xbf" + b'{"key": "a"}\n'
    assert list(read_records(write("r.jsonl", content), Response)) == [Response(key="a")]
    assert read_json(write("r.json", content)) == {"key": "a"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"key": "a"', "truncated"),
        (b'{"key": "a"} x', "malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"text": ""}', "missing required field `key`"),
        (b'{"key": 3}', "Expected `str`, got `int` - at `$.key`"),
        (b'{"key": "a", "devices": ["0", 1]}', "Expected `str`, got `int` - at `$.devices[1]`"),
        (b'{"key": "a", "attempts": 1.5}', "Expected `int`, got `float` - at `$.attempts`"),
        (b'{"key": "\xff"}', "not valid UTF-8"),
        (b"\x00", "malformed"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(write: Any, line: bytes, said: str) -> None:
    path = write("r.jsonl", b'{"key": "first"}\n\n' + line + b'\n{"key": "last"}\n')
    found = read_records(path, Response)
    assert next(found).key == "first"
    with pytest.raises(InputError) as error:
        list(found)
    assert str(error.value).startswith(f"{path}:3: ")
    assert said in str(error.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.jsonl: cannot be read: No such file"):
        list(read_records(tmp_path / "nowhere.jsonl", Response))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


PACKED = gzip.compress("".join(json.dumps({"key": str(i)}) + "\n" for i in range(50)).encode(), mtime=0)


@pytest.mark.parametrize("length", range(2, len(PACKED)))
def test_cut_off_gzip_is_never_silently_short(write: Any, length: int) -> None:
    path = write("r.jsonl.gz", PACKED[:length])
    with pytest.raises(InputError, match=r"r.jsonl.gz: damaged gzip file"):
        list(read_records(path, Response))


def test_damaged_gzip_is_told_by_every_reader(write: Any) -> None:
    spoiled = bytearray(PACKED)
    spoiled[-6] ^= 1  # the checksum
    for content in (bytes(spoiled), PACKED[:-1], PACKED + b"more"):
        path = write("r.json.gz", content)
        with pytest.raises(InputError, match="damaged gzip file"):
            list(read_records(path, Response))
        with pytest.raises(InputError, match="damaged gzip file"):
            read_json(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{\n"a": 1,\n"b" 2}', ":3: malformed JSON: Expecting ':'"),
        (b"", ":1: malformed JSON"),
        (b'{"a":\n"\xff"}', ":2: not valid UTF-8"),
        (b"[" * 100_000, "recursion"),
        (b"1" * 5000, "4300 digits"),
    ],
)
def test_a_bad_document_is_named_with_its_line(write: Any, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as error:
        read_json(write("d.json", content))
    assert said in str(error.value)


def test_a_document_keeps_its_order_and_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "d.json", {"b": "é\u2028", "a": [1.5, None]})
    assert list(read_json(tmp_path / "d.json").items()) == [("b", "é\u2028"), ("a", [1.5, None])]


def broken_off(record: Any, error: type[BaseException]) -> Iterator[Any]:
    yield record
    raise error


def test_what_fails_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    for stop in (ValueError, KeyboardInterrupt):
        with pytest.raises(stop):
            write_records(path, broken_off({"a": 1}, stop))
    with pytest.raises(TypeError), RecordWriter(path) as writer:
        writer.write({"a": object()})
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_what_no_file_can_hold_is_an_error_with_the_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out.jsonl: record 2: .*surrogates not allowed"):
        write_records(tmp_path / "out.jsonl", [{"a": 1}, {"a": "half a pair: \ud83d"}])
    assert os.listdir(tmp_path) == []


def test_a_file_appears_whole_in_a_new_folder_with_the_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out"
    with atomic_write(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    other = tmp_path / "other"
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_writing_a_file_leaves_the_umask_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It belongs to the whole process: two threads that change it for a moment could leave it at 0.
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
    write_json(tmp_path / "out", {})


def test_records_are_plain_json_without_defaults(tmp_path: Path) -> None:
    write_records(tmp_path / "r.jsonl", [Response(key="k", text="é")])
    assert (tmp_path / "r.jsonl").read_text(encoding="utf-8") == '{"key":"k","text":"é"}\n'
    assert msgspec.json.decode((tmp_path / "r.jsonl").read_bytes()) == {"key": "k", "text": "é"}
