"""Rows of JSON arrays and JSON Lines, streamed: the same values as json.load, with the line of each mistake."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval import io
from hopeval.errors import InputError
from hopeval.io import read_rows

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
layouts = st.fixed_dictionaries({"indent": st.none() | st.integers(0, 2), "ensure_ascii": st.booleans()})


def rows(content: bytes, chunk: int) -> list[tuple[int, Any]]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "_CHUNK", chunk)
        Path(folder, "rows").write_bytes(content)
        return list(read_rows(Path(folder, "rows")))


@given(st.lists(values), layouts, st.integers(1, 9), st.sampled_from(["", "\ufeff", " \r\n\n"]))
def test_an_array_equals_json_load_however_it_is_cut_into_chunks(
    wanted: list[Any], layout: dict[str, Any], chunk: int, before: str
) -> None:
    content = (before + json.dumps(wanted, **layout) + "\n").encode(errors="surrogatepass")
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    assert [value for _, value in rows(content, chunk)] == wanted


@given(st.lists(values.filter(lambda value: not isinstance(value, list))), st.integers(1, 9), st.booleans())
def test_json_lines_come_one_by_one_with_their_line(wanted: list[Any], chunk: int, ended: bool) -> None:
    content = "\n".join(map(json.dumps, wanted)) + ("\n" if ended else "")
    assert rows(content.encode(), chunk) == list(enumerate(wanted, 1))


@given(st.lists(st.dictionaries(st.sampled_from("ab"), scalars), min_size=1), st.integers(1, 9))
def test_lines_of_an_array_are_those_of_the_file(wanted: list[Any], chunk: int) -> None:
    content = "[\n" + ",\n\n".join(map(json.dumps, wanted)) + "\n]"
    assert rows(content.encode(), chunk) == [(2 + 2 * i, row) for i, row in enumerate(wanted)]


@given(st.lists(st.dictionaries(st.sampled_from("ab"), scalars), min_size=1, max_size=3), st.data())
def test_a_cut_off_array_is_an_error_wherever_it_is_cut(wanted: list[Any], data: st.DataObject) -> None:
    content = json.dumps(wanted).encode()
    cut = content[: data.draw(st.integers(1, len(content) - 1))]
    with pytest.raises(InputError, match="malformed JSON"):
        rows(cut, 4)


GOOD = '{"a": 1}'


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (f"[\n{GOOD},\n{GOOD},\n", 4, "the array is not closed"),
        (f'[\n{GOOD},\n{{"b": ', 3, "Expecting value"),
        (f'[\n{GOOD},\n{{"b\n', 3, "Invalid control character"),
        (f"[\n{GOOD}\n\n{GOOD}\n]", 4, "',' or ']' expected"),
        (f'[\n{GOOD},\n{{"b" 2}},\n{GOOD},\n{GOOD}\n]', 3, "Expecting ':'"),
        (f'[\n{GOOD},\n{{\n\n"b" 2}},\n{GOOD}\n]', 5, "Expecting ':'"),
        (f"[\n{GOOD},\n]", 3, "a value expected behind ','"),
        (f"[\n{GOOD}\n]\n\nmore", 5, "something stands behind the array"),
        (f"[\n{GOOD}\n]]", 3, "something stands behind the array"),
        (f"{GOOD}\n{GOOD},\n{GOOD}\n", 2, "Expecting value"),
        (f"{GOOD}\n]\n{GOOD}\n", 2, "Expecting value"),
        (f"{GOOD}\nnot JSON\n{GOOD}\n", 2, "Expecting value"),
        (f'{GOOD}\n{{"a": "b\n{GOOD}\n', 2, "Invalid control character"),
        ("}", 1, "Expecting value"),
    ],
)
def test_malformed_json_is_told_with_its_line(content: str, line: int, said: str, chunk: int) -> None:
    with pytest.raises(InputError) as error:
        rows(content.encode(), chunk)
    assert f"rows:{line}: malformed JSON: {said}" in str(error.value)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("bad", [b'{"a": "\xff"}', b'{"a": "\xe2\x82', b"\xc3"])
def test_invalid_utf8_is_told_with_its_line(bad: bytes, chunk: int) -> None:
    with pytest.raises(InputError, match=r"rows:3: not valid UTF-8"):
        rows(b'{"a": "\xc3\xa9"}\n\n' + bad, chunk)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b'[{"a": ' + b"9" * 5000 + b"}]"])
def test_what_json_cannot_hold_is_an_error_and_no_crash(content: bytes) -> None:
    with pytest.raises(InputError, match="rows:1: malformed JSON"):
        rows(content, 1 << 20)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", b"[]", b" [ \n ] \n"])
def test_an_empty_file_has_no_rows(content: bytes) -> None:
    assert rows(content, 1 << 20) == []


def test_a_row_larger_than_the_buffer_is_read_whole() -> None:
    row = {"text": "x\\n é" * 10_000}
    assert rows(json.dumps([row, 1, 2.5e-7]).encode(), 16) == [(1, row), (1, 1), (1, 2.5e-7)]
