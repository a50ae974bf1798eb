"""TREC run files: what is written is read again in the same order, by us and by others; odd ids survive."""

import gzip
import math
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.errors import InputError
from hopeval.records import Hit
from hopeval.runs import RunFile, RunWriter, falling, quoted, unquoted

ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["%", "%20", "a b", "\u2028"])
scores = st.floats(-1e6, 1e6, width=32) | st.floats(0, 1 / 64, width=32) | st.sampled_from([0.0, 1.0])
rankings = st.dictionaries(ids, scores, max_size=8).map(
    lambda found: [Hit(name, score) for name, score in sorted(found.items(), key=lambda item: -item[1])]
)


def written(path: Path, *found: tuple[str, list[Hit]]) -> Path:
    with RunWriter(path, "mine") as run:
        for question, hits in found:
            run.write(question, hits)
    return path


@given(ids)
def test_any_id_is_one_field_and_comes_back(identifier: str) -> None:
    assert len(quoted(identifier).split()) == 1
    assert unquoted(quoted(identifier)) == identifier


@given(st.dictionaries(ids, rankings, max_size=4))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, found: dict[str, list[Hit]]) -> None:
    path = written(tmp_path_factory.mktemp("run") / "mine.trec", *found.items())
    run = RunFile(path)
    assert set(run.questions) == {name for name, hits in found.items() if hits}
    for name, hits in found.items():
        assert [hit.id for hit in run.ranking(name)] == [hit.id for hit in hits]
    assert run.ranking("never asked") == []


@given(st.lists(scores, min_size=1, max_size=100).map(lambda found: sorted(found, reverse=True)))
def test_scores_fall_even_in_32_bits_and_hardly_differ(found: list[float]) -> None:
    lowered = list(falling(found))
    printed = [struct.unpack("f", struct.pack("f", float(f"{score:.9g}")))[0] for score in lowered]
    assert all(a > b for a, b in pairwise(printed))
    assert all(
        math.isclose(a, b, rel_tol=2e-4, abs_tol=2e-4 * max(map(abs, found)) + 1e-9)
        for a, b in zip(found, lowered, strict=True)
    )


def test_ties_keep_their_order_where_others_sort_by_score_and_id(tmp_path: Path) -> None:
    path = written(tmp_path / "r", ("q", [Hit("b", 1.0), Hit("a", 1.0), Hit("c", 1.0)]))
    assert path.read_text() == "q Q0 b 1 1 mine\nq Q0 a 2 0.999999 mine\nq Q0 c 3 0.999998 mine\n"
    run = list(ir_measures.read_trec_run(str(path)))
    for place, name in enumerate("bac", 1):
        qrels = [ir_measures.Qrel("q", name, 1)]
        assert ir_measures.calc_aggregate([ir_measures.RR], qrels, run)[ir_measures.RR] == 1 / place


def test_runs_of_others_are_sorted_by_score_wherever_their_lines_stand(write: Any) -> None:
    path = write("r", "q2 Q0 x 1 5 t\nq1 Q0 low 9 1e-1 t\n\nq2\tQ0\ty 0 7.5 t\nq1 0 high 3 2 t\nq1 Q0 tie 2 2 t\n")
    run = RunFile(path)
    assert [hit.id for hit in run.ranking("q1")] == ["tie", "high", "low"]
    assert run.ranking("q2") == [Hit("y", 7.5), Hit("x", 5.0)]
    assert [number for number, _ in run.lines("q1")] == [2, 5, 6]


def test_ids_of_others_that_look_like_escapes_are_taken_as_they_stand(write: Any) -> None:
    path = write("r", "http://x/a%20b Q0 http://x/c%20d 1 2 t\nhttp://x/a%20b Q0 e%20f 2 1 t\nq%202 Q0 %41 1 1 t\n")
    known = {"http://x/c%20d", "e f", "A", "%41"}
    run = RunFile(path, known.__contains__)
    assert [hit.id for hit in run.ranking("http://x/a%20b")] == ["http://x/c%20d", "e f"]
    assert [hit.id for hit in run.ranking("http://x/a b")] == ["http://x/c%20d", "e f"]
    assert [hit.id for hit in run.ranking("q 2")] == ["%41"]
    # In a file of ours every % is an escape's.
    assert [hit.id for hit in RunFile(path).ranking("q 2")] == ["A"]
    assert RunFile(path).ranking("http://x/a%20b") == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q Q0 p 1 0.5", "not enough values to unpack"),
        ("q Q0 a title 1 0.5 t", "too many values to unpack"),
        ("q Q0 p first 0.5 t", "invalid literal for int() with base 10: 'first'"),
        ("q Q0 p 1 high t", "could not convert string to float: 'high'"),
        ("q Q0 p 1 nan t", "the score nan has no place in an order"),
        ("q Q0 p 1 inf t", "the score inf has no place in an order"),
        (b"q Q0 \xff 1 1 t", "invalid start byte"),
    ],
)
def test_a_line_that_is_none_is_named(write: Any, line: str | bytes, said: str) -> None:
    bad = line if isinstance(line, bytes) else line.encode()
    path = write("r", b"q Q0 p 1 1 t\n\n" + bad + b"\n")
    with pytest.raises(InputError) as error:
        RunFile(path)
    assert f"{path}:3: not a line of a TREC run: " in str(error.value)
    assert said in str(error.value)
    assert "'question Q0 passage rank score tag'; mend or drop it" in str(error.value)


def test_a_passage_twice_and_a_packed_or_missing_file_are_told(write: Any, tmp_path: Path) -> None:
    run = RunFile(write("r", "q Q0 p 1 2 t\nq Q0 p 2 1 t\n"))
    with pytest.raises(InputError, match=r"r:2: question 'q' has the passage 'p' twice; drop one"):
        run.ranking("q")
    with pytest.raises(InputError, match=r"r.gz: packed, but rankings are read at random; unpack it"):
        RunFile(write("r.gz", gzip.compress(b"")))
    with pytest.raises(InputError, match=r"nowhere: cannot be read"):
        RunFile(tmp_path / "nowhere")
