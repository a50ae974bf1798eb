"""BEIR's questions, and the judgements of passages that come with them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hopeval.__main__ import main
from hopeval.commands.prepare import files_read
from hopeval.io import read_records
from hopeval.records import Question

CORPUS = [{"_id": str(i), "title": f"Title {i}", "text": "Text."} for i in range(4)]
QUERIES: list[dict[str, Any]] = [
    {"_id": "q1", "text": "Who?", "metadata": {"answer": "A", "supporting_facts": [["Title 3", 1]]}},
    {"_id": "q2", "text": "When?", "metadata": {"url": "x", "answer": ["not", "HotpotQA's"]}},
    {"_id": "q3", "text": "Where?", "metadata": {}},
]
HEAD = "query-id\tcorpus-id\tscore\n"
TEST = "q1\t3\t1\nq2\t1\t2\nq2\t0\t1\nq2\t2\t0\n"


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "hotpotqa"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(jsonl(*CORPUS))
    (folder / "queries.jsonl").write_text(jsonl(*QUERIES))
    (folder / "qrels" / "test.tsv").write_text(HEAD + TEST)
    (folder / "qrels" / "dev.tsv").write_text(HEAD + "q3\t2\t1\n")
    return folder


def prepared(path: Path, out: Path) -> dict[str, Question]:
    assert main(["prepare", "--questions", str(path), "--output", str(out)]) == 0
    return {question.id: question for question in read_records(out / "questions.jsonl", Question)}


def test_a_split_has_the_queries_that_are_judged_in_it(dataset: Path, tmp_path: Path) -> None:
    found = prepared(dataset / "qrels" / "test.tsv", tmp_path / "out")
    assert list(found) == ["q1", "q2"]
    facts = [("Title 3", 1)]
    assert found["q1"] == Question(id="q1", text="Who?", answer="A", supporting_facts=facts, relevant={"3": 1})
    assert found["q2"] == Question(id="q2", text="When?", relevant={"1": 2, "0": 1})
    assert json.loads((tmp_path / "out" / "dataset.json").read_bytes())["format"] == "beir"


def test_all_queries_have_the_judgements_of_all_splits(dataset: Path, tmp_path: Path) -> None:
    found = prepared(dataset / "queries.jsonl", tmp_path / "out")
    assert [question.gold for question in found.values()] == [{"3": 1}, {"1": 2, "0": 1}, {"2": 1}]


def test_queries_alone_are_not_judged(dataset: Path, tmp_path: Path) -> None:
    (dataset / "queries.jsonl").rename(tmp_path / "queries.jsonl")
    found = prepared(tmp_path / "queries.jsonl", tmp_path / "out")
    assert [question.gold for question in found.values()] == [{"Title 3": 1}, {}, {}]


def test_judgements_may_be_packed(dataset: Path, tmp_path: Path) -> None:
    plain = dataset / "qrels" / "test.tsv"
    packed = plain.with_name("test.tsv.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert prepared(packed, tmp_path / "packed") == prepared(plain, tmp_path / "plain")


def test_judgements_that_are_no_text_are_told_with_their_place(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = dataset / "qrels" / "test.tsv"
    test.write_bytes(HEAD.encode() + b"q2\t\xff\t1\n")
    assert main(["prepare", "--questions", str(test), "--output", str(tmp_path / "out")]) == 2
    assert "test.tsv:2: 'utf-8' codec can't decode" in capsys.readouterr().err


def test_what_is_judged_stays_gold_though_it_is_not_there(dataset: Path, tmp_path: Path) -> None:
    (dataset / "qrels" / "test.tsv").write_text(HEAD + "q2\t77\t1\n")
    assert prepared(dataset / "qrels" / "test.tsv", tmp_path / "out")["q2"].gold == {"77": 1}


def test_all_files_that_are_read_are_known_before(dataset: Path) -> None:
    test, dev = (dataset / "qrels" / f"{split}.tsv" for split in ("test", "dev"))
    queries, corpus = dataset / "queries.jsonl", dataset / "corpus.jsonl"
    assert files_read(test, "auto") == [queries, test]
    assert files_read(queries, "auto") == files_read(queries, "beir") == [queries, dev, test]
    assert files_read(queries, "hotpotqa") == [queries]
    corpus.write_text("no JSON")
    assert files_read(corpus, "auto") == [corpus]


def test_queries_from_the_web_have_no_judgements_beside_them(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = (dataset / "queries.jsonl").read_bytes()
    monkeypatch.setattr("hopeval.download._complete", lambda partial, *rest: partial.append(queries))
    (tmp_path / "out").mkdir()
    url = "https://example.org/queries.jsonl"
    assert main(["prepare", "--questions", url, "--output", str(tmp_path / "out")]) == 2
    assert f"{url}: BEIR's queries, judgements and corpus are files of one archive; unpack" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("qrels/test.tsv", HEAD + "q2 1 1\n", "test.tsv:2: ['q2 1 1'] is not query-id corpus-id score; mend or drop"),
        ("qrels/test.tsv", HEAD + "q2\t1\thigh\n", "test.tsv:2: ['q2', '1', 'high'] is not query-id corpus-id score"),
        ("qrels/test.tsv", HEAD + "q2\t1\t²\n", "test.tsv:2: ['q2', '1', '²'] is not query-id corpus-id score"),
        ("queries.jsonl", '{"_id": "q1"}\n', "queries.jsonl:1: Object missing required field `text` (id 'q1')"),
        ("queries.jsonl", None, "test.tsv: needs queries.jsonl in "),
    ],
)
def test_a_bad_file_is_told_with_its_place(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: str | None, said: str
) -> None:
    (dataset / file).unlink()
    if content is not None:
        (dataset / file).write_text(content)
    test = str(dataset / "qrels" / "test.tsv")
    assert main(["prepare", "--questions", test, "--output", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
