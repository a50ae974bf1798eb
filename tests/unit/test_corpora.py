"""Corpora in others' formats: each becomes the same passages, whatever holds and packs it."""

import bz2
import gzip
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hopeval.__main__ import main
from hopeval.corpora import files
from hopeval.download import downloaded
from hopeval.passages import PassageStore
from hopeval.records import Passage

FULLWIKI = [
    {
        "id": number,
        "url": f"https://en.wikipedia.org/wiki?curid={number}",
        "title": title,
        "text": sentences,
        "charoffset": [[[0, 5], [6, 8]]],
        "text_with_links": [f'<a href="Anarchy">{sentence}</a>' for sentence in sentences],
        "charoffset_with_links": [[[0, 18]]],
    }
    for number, title, sentences in [
        (12, "Anarchism", ["Anarchism is a political philosophy.", " It holds the state to be harmful."]),
        (25, "Hall &amp; Oates", ["Hall &amp; Oates were two."]),
        (39, "Albedo", []),
    ]
]
PASSAGES = [Passage(id=str(row["id"]), title=row["title"], sentences=row["text"]) for row in FULLWIKI]  # type: ignore[arg-type]
BEIR = [{"_id": p.id, "title": p.title, "text": p.text, "metadata": {}} for p in PASSAGES]
NAME = "enwiki-20171001-pages-meta-current-withlinks-abstracts"


def lines(rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def dump(path: Path) -> Path:
    """The rows as HotpotQA gives them away: folders of packed files."""
    for folder, rows in (("AA", FULLWIKI[:2]), ("AB", FULLWIKI[2:])):
        (path / folder).mkdir(parents=True)
        (path / folder / "wiki_00.bz2").write_bytes(bz2.compress(lines(rows)))
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., list[Passage]]:
    """The passages that the verb makes of a source."""

    def made(source: object, *options: str) -> list[Passage]:
        assert main(["corpus", "--source", str(source), "--output", str(tmp_path / "made"), *options]) == 0
        return list(PassageStore(tmp_path / "made" / "passages.jsonl"))

    return made


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the verb says of a source that it refuses; nothing is written."""

    def said(source: object, *options: str) -> str:
        assert main(["corpus", "--source", str(source), "--output", str(tmp_path / "made"), *options]) == 2
        assert not (tmp_path / "made" / "passages.jsonl").exists()
        return capsys.readouterr().err

    return said


def test_the_unpacked_dump(tmp_path: Path, corpus: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert corpus(dump(tmp_path / NAME)) == PASSAGES
    said = capsys.readouterr()
    assert said.out == "format fullwiki, passages 3, without_text 1, repeated 0\n"
    assert f"1 passages have a title and no text (kept):\n  {tmp_path / NAME}/AB/wiki_00.bz2:1\n" in said.err
    about = json.loads((tmp_path / "made" / "corpus.json").read_bytes())
    assert about == {
        "source": str(tmp_path / NAME),
        "format": "fullwiki",
        "passages": 3,
        "without_text": 1,
        "repeated": 0,
    }


@pytest.mark.parametrize("packed", ["w:bz2", "w:gz", "w"])
def test_the_dump_as_it_is_given_away(tmp_path: Path, corpus: Any, packed: Any) -> None:
    dump(tmp_path / NAME)
    path = tmp_path / f"{NAME}.tar.bz2"
    with tarfile.open(path, packed) as archive:
        archive.add(tmp_path / NAME, NAME)
    assert corpus(path) == PASSAGES


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_beirs_corpus(tmp_path: Path, corpus: Any, pack: Any) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(pack(lines(BEIR)))
    found = corpus(path)
    assert [(p.id, p.title, p.text) for p in found] == [(p.id, p.title, p.text) for p in PASSAGES]
    assert found[0].sentences == ["Anarchism is a political philosophy. ", "It holds the state to be harmful."]


@pytest.fixture
def beir_zip(tmp_path: Path) -> Path:
    """A dataset as BEIR gives it away."""
    path = tmp_path / "hotpotqa.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hotpotqa/corpus.jsonl", lines(BEIR))
        archive.writestr("hotpotqa/queries.jsonl", lines([{"_id": "q", "text": "Who?", "metadata": {}}]))
        archive.writestr("hotpotqa/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t12\t1\n")
    return path


def test_beirs_archive_and_folder(tmp_path: Path, corpus: Any, beir_zip: Path) -> None:
    assert [p.id for p in corpus(beir_zip)] == ["12", "25", "39"]
    with zipfile.ZipFile(beir_zip) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert [p.id for p in corpus(tmp_path / "unpacked" / "hotpotqa")] == ["12", "25", "39"]


@pytest.mark.parametrize("packed", ["w", "w:gz"])
@pytest.mark.parametrize("order", [["corpus", "queries", "more"], ["queries", "corpus", "more"]])
def test_of_a_tar_of_beirs_the_corpus_alone_is_taken(
    tmp_path: Path, corpus: Any, order: list[str], packed: Any
) -> None:
    assert [p.id for p in corpus(beir_tar(tmp_path, order, packed))] == ["12", "25", "39"]


def test_a_tar_with_other_files_before_the_corpus_is_refused(tmp_path: Path, refused: Any) -> None:
    path = beir_tar(tmp_path, ["more", "corpus"], "w")
    assert f"{path}: holds other files before d/corpus.jsonl; unpack it and name that file" in refused(path)


def beir_tar(folder: Path, order: list[str], packed: Any) -> Path:
    rows = {"corpus": BEIR, "queries": [{"_id": "q", "text": "Who?"}], "more": [{"_id": "m", "text": "No passage."}]}
    with tarfile.open(folder / "d.tar", packed) as archive:
        for name in order:
            (folder / "file").write_bytes(lines(rows[name]))
            archive.add(folder / "file", f"d/{name}.jsonl")
    return folder / "d.tar"


def test_equal_passages_without_ids_are_one(tmp_path: Path, corpus: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.jsonl").write_bytes(lines([{"title": "A", "text": "One."}, {"text": "Two."}] * 2))
    assert [p.title for p in corpus(tmp_path / "c.jsonl")] == ["A", ""]
    said = capsys.readouterr()
    assert f"warning: 2 passages without an id are there already, word for word (left out):\n  {tmp_path}" in said.err
    assert said.out == "format passages, passages 2, without_text 0, repeated 2\n"


def test_no_more_than_the_first_places_are_shown(tmp_path: Path, corpus: Any, capsys: Any) -> None:
    (tmp_path / "c.jsonl").write_bytes(lines({"id": i, "title": "A", "text": ""} for i in range(7)))
    corpus(tmp_path / "c.jsonl")
    assert capsys.readouterr().err.endswith("c.jsonl:5\n  …\n")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_line_without_an_end_does_not_fill_the_memory(
    tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.setattr(files, "_LONGEST", 10_000)
    (tmp_path / "c.jsonl").write_bytes(pack(lines(BEIR) + b"{" + b" " * 20_000))
    assert "c.jsonl:4: a line of 10,000 bytes or more; a passage is a line" in refused(tmp_path / "c.jsonl")


def test_a_passage_without_a_title_has_none(tmp_path: Path, corpus: Any) -> None:
    (tmp_path / "c.jsonl").write_bytes(lines([{"_id": "a1", "title": "", "text": "Some."}]))
    assert corpus(tmp_path / "c.jsonl") == [Passage(id="a1", title="", sentences=["Some."])]


def test_a_file_of_ones_own(tmp_path: Path, corpus: Any) -> None:
    rows = [
        {"id": 7, "title": "A", "sentences": ["One.", " Two."], "more": 1},
        {"title": "B", "text": "One. Two."},
    ]
    (tmp_path / "c.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(rows) + b"\n")
    first, second = corpus(tmp_path / "c.jsonl")
    assert first == Passage(id="7", title="A", sentences=["One.", " Two."])
    assert (second.title, second.sentences, len(second.id)) == ("B", ["One. ", "Two."], 16)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "c.jsonl: holds no passage; check dataset.corpus"),
        (
            b"[1, 2]\n",
            "c.jsonl:1: the first row has a list; HotpotQA's dump has 'id', 'title', 'text' (a list), BEIR's",
        ),
        (b'{"contents": "x"}\n', "c.jsonl:1: the first row has 'contents'; HotpotQA's"),
        (b"nothing\n", "c.jsonl:1: JSON is malformed"),
        (lines(BEIR) + b'{"_id": 3, "text": ""}\n', "c.jsonl:4: Expected `str`, got `int` - at `$._id`; mend or drop"),
        (lines(BEIR) + b'{"_id": "4"}\n', "c.jsonl:4: Object missing required field `text`; mend or drop the line"),
        (lines(BEIR) + b'{"_id": "4", "text": "\xff"}\n', "c.jsonl:4: "),
        (lines(BEIR) + b"\n" + lines(BEIR[1:2]), "c.jsonl:5: passage id '25' was already used at "),
        (lines(FULLWIKI)[:-9], "c.jsonl:3: Input data was truncated"),
        (b'{"id": "1", "title": "", "sentences": [" "]}\n', "c.jsonl:1: passage '1' has neither title nor text;"),
        (b'{"id": "1", "title": "A", "text": 3}\n', "c.jsonl:1: Expected `str | null`, got `int` - at `$.text`"),
        (gzip.compress(lines(BEIR))[:-9], "c.jsonl: damaged, cut off or unreadable (Compressed file ended before"),
        (bz2.compress(lines(BEIR))[:-9], "c.jsonl: damaged, cut off or unreadable (Compressed file ended before"),
    ],
)
def test_what_is_no_corpus_is_refused_with_its_place(tmp_path: Path, refused: Any, content: bytes, said: str) -> None:
    (tmp_path / "c.jsonl").write_bytes(content)
    assert said in refused(tmp_path / "c.jsonl")


def test_ids_that_come_twice_in_two_files_are_told_by_both_places(tmp_path: Path, refused: Any) -> None:
    path = dump(tmp_path / NAME)
    (path / "AB" / "wiki_01.bz2").write_bytes(bz2.compress(lines(FULLWIKI[:1])))
    said = refused(path)
    assert f"{path}/AB/wiki_01.bz2:1: passage id '12' was already used at {path}/AA/wiki_00.bz2:1; ids must" in said


def test_a_cut_off_archive_is_told(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "dump.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(dump(tmp_path / NAME), NAME)
    path.write_bytes(path.read_bytes()[:2000])
    assert f"{path}" in (said := refused(path))
    assert "damaged, cut off or unreadable" in said


def test_a_missing_corpus_and_a_wrong_sha256_are_told(tmp_path: Path, refused: Any) -> None:
    assert "nowhere: damaged, cut off or unreadable" in refused(tmp_path / "nowhere")
    assert "is a folder, which has no SHA-256" in refused(dump(tmp_path / NAME), "--sha256", "0" * 64)
    (tmp_path / "c.jsonl").write_bytes(lines(BEIR))
    assert "c.jsonl: SHA-256 is " in refused(tmp_path / "c.jsonl", "--sha256", "0" * 64)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_corpus_from_the_web(tmp_path: Path, corpus: Any, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "corpus.jsonl").write_bytes(lines(BEIR))
    assert [p.id for p in corpus(f"{server}/corpus.jsonl")] == ["12", "25", "39"]
    left = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert left == ["corpus.json", "passages.jsonl", "passages.jsonl.index"]


def test_a_bad_corpus_from_the_web_is_told_by_its_address(
    tmp_path: Path, refused: Any, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "corpus.jsonl").write_bytes(lines(BEIR) + b"{}\n")
    assert f"{server}/corpus.jsonl:4: Object missing required field `_id`" in refused(f"{server}/corpus.jsonl")
    assert list((tmp_path / "made").iterdir()) == []


def test_what_was_downloaded_is_used_again_only_if_it_still_is_that_file(
    tmp_path: Path, corpus: Any, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = f"{server}/corpus.jsonl"
    (tmp_path / "corpus.jsonl").write_bytes(lines(BEIR))
    with pytest.raises(KeyboardInterrupt), downloaded(url, tmp_path / "made") as path:
        raise KeyboardInterrupt
    assert path.read_bytes() == lines(BEIR)
    (tmp_path / "corpus.jsonl").write_bytes(lines(BEIR[:2]))
    os.utime(tmp_path / "corpus.jsonl", (1, 1))
    assert [p.id for p in corpus(url)] == ["12", "25"]


def test_a_leftover_of_another_address_and_a_wrong_sha256_are_not_trusted(
    tmp_path: Path, refused: Any, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "corpus.jsonl").write_bytes(lines(BEIR))
    (tmp_path / "made").mkdir()
    for name in (".download", ".download.partial"):
        (tmp_path / "made" / name).write_bytes(lines(BEIR[:1]))
    assert "corpus.jsonl: SHA-256 is " in refused(f"{server}/corpus.jsonl", "--sha256", "0" * 64)
    assert "the server answered 404" in refused(f"{server}/nothing.jsonl")


def test_progress_is_shown_on_a_terminal_alone() -> None:
    from hopeval.download import bar

    terminal = io.StringIO()
    with bar("reading", 10, terminal) as on_bytes:
        on_bytes(10)
    assert "reading" in terminal.getvalue()
