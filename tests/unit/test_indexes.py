"""Indexes by content: made once, found again, never taken for another, whole or not at all."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import hopeval.indexes
from hopeval.config import parse_retriever
from hopeval.errors import InputError
from hopeval.indexes import Index, index_key, library_versions, made_index, open_index
from hopeval.io import write_json, write_records
from hopeval.owners import this_process
from hopeval.passages import PassageStore
from hopeval.records import Passage
from hopeval.retrievers.bm25 import BM25Retriever


@pytest.fixture
def corpus(tmp_path: Path) -> PassageStore:
    return passages(tmp_path / "corpus.jsonl", "apple tree", "pear tree")


def passages(path: Path, *texts: str) -> PassageStore:
    write_records(path, [Passage(id=str(i), title=f"T{i}", sentences=[text]) for i, text in enumerate(texts)])
    return PassageStore(path)


def section(**settings: Any) -> Any:
    return parse_retriever({"kind": "bm25", **settings})


def made(settings: Any, kind: Any, corpus: PassageStore, store: Path) -> tuple[Index, bool]:
    return made_index(settings, kind, corpus.path, store, PassageStore)


class Counting(BM25Retriever):
    built: ClassVar[list[Path]] = []

    @classmethod
    def build(cls, settings: Any, corpus: PassageStore, folder: Path) -> None:
        assert not list(folder.iterdir())
        cls.built.append(folder)
        super().build(settings, corpus, folder)


@pytest.fixture
def counting() -> type[Counting]:
    Counting.built.clear()
    return Counting


def test_an_index_is_made_once_and_says_what_it_is(tmp_path: Path, corpus: PassageStore, counting: Any) -> None:
    index, found = made(section(), counting, corpus, tmp_path / "store")
    assert not found
    assert (index.kind, index.passages) == ("bm25", 2)
    assert Path(index.folder) == tmp_path / "store" / index.key
    files = [path for path in Path(index.folder).rglob("*") if path.is_file()]
    assert index.bytes == sum(path.stat().st_size for path in files if path.name != "made.json") > 0
    assert index.peak_mb > 1
    assert index.seconds > 0
    assert made(section(), counting, corpus, tmp_path / "store") == (index, True)
    # How deep one searches and how many cores there are makes no other index.
    assert made(section(top_k=[1, 7], depth=11, threads=2), counting, corpus, tmp_path / "store") == (index, True)
    assert len(counting.built) == 1


def test_another_corpus_setting_or_format_is_another_index(tmp_path: Path, corpus: PassageStore, counting: Any) -> None:
    class Newer(counting):  # type: ignore[misc]
        FORMAT = "newer"

    other = passages(tmp_path / "other.jsonl", "apple tree", "plum tree")
    wanted = [
        (section(), counting, corpus),
        (section(k1=1.2), counting, corpus),
        (section(stemmer=None), counting, corpus),
        (section(), Newer, corpus),
        (section(), counting, other),
    ]
    indexes = [made(*what, tmp_path / "store") for what in wanted]
    assert [found for _, found in indexes] == [False] * 5
    assert len({index.key for index, _ in indexes}) == len({index.folder for index, _ in indexes}) == 5


def test_the_same_passages_elsewhere_find_the_index(tmp_path: Path, corpus: PassageStore, counting: Any) -> None:
    index, _ = made(section(), counting, corpus, tmp_path / "store")
    elsewhere = tmp_path / "elsewhere" / "c.jsonl"
    elsewhere.parent.mkdir()
    shutil.copy(corpus.path, elsewhere)
    shutil.move(tmp_path / "store", tmp_path / "moved")
    found = made(section(), counting, PassageStore(elsewhere), tmp_path / "moved")
    assert found == (msgspec.structs.replace(index, folder=str(tmp_path / "moved" / index.key)), True)


def test_a_store_that_may_only_be_read_serves(tmp_path: Path, corpus: PassageStore, counting: Any) -> None:
    index, _ = made(section(), counting, corpus, tmp_path / "store")
    for lock in (tmp_path / "store").glob(".*.lock"):
        lock.unlink()
    assert made(section(), counting, corpus, tmp_path / "store") == (index, True)
    assert [path.name for path in (tmp_path / "store").iterdir()] == [index.key]


def test_what_a_killed_job_left_is_no_index(tmp_path: Path, corpus: PassageStore) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom hopeval.config import parse_retriever\n"
        "from hopeval.indexes import made_index\nfrom hopeval.passages import PassageStore\n"
        "from hopeval.retrievers.bm25 import BM25Retriever\n"
        "class Killed(BM25Retriever):\n"
        "    @classmethod\n"
        "    def build(cls, settings, corpus, folder):\n"
        "        (folder / 'half').write_text('half')\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "made_index(parse_retriever({'kind': 'bm25'}), Killed, *map(Path, sys.argv[1:]), PassageStore)\n"
    )
    workflow = Path(__file__).parents[2] / "workflow"
    command = [sys.executable, "-c", script, str(corpus.path), str(tmp_path / "store")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(workflow)}, timeout=120)
    assert done.returncode == -9
    assert [path.name for path in (tmp_path / "store").rglob("half")] == ["half"]
    index, found = made(section(), BM25Retriever, corpus, tmp_path / "store")
    assert not found
    assert not list((tmp_path / "store").rglob("half"))
    assert [path.name for path in (tmp_path / "store").iterdir() if path.is_dir()] == [index.key]


def test_who_wants_the_same_index_at_the_same_time_waits(tmp_path: Path, corpus: PassageStore) -> None:
    arguments = ["--settings", '{"kind": "bm25"}', "--corpus", corpus.path, "--store", tmp_path / "store"]
    workflow = Path(__file__).parents[2] / "workflow"
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "hopeval", "index", "--retriever", "r", *arguments, "--output", tmp_path / f"{i}"],
            env={**os.environ, "PYTHONPATH": str(workflow)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(3)
    ]
    words = sorted(job.communicate(timeout=120)[0].split()[0] for job in jobs)
    assert words == ["found", "found", "made"]
    assert (tmp_path / "0").read_text() == (tmp_path / "1").read_text() == (tmp_path / "2").read_text()


def test_where_no_lock_holds_the_first_that_is_whole_serves_both(
    tmp_path: Path, corpus: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_lock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    store = tmp_path / "store"
    faster: list[tuple[Index, bool]] = []

    class Slow(BM25Retriever):
        @classmethod
        def build(cls, settings: Any, corpus: PassageStore, folder: Path) -> None:
            super().build(settings, corpus, folder)
            # Another host comes, sees what this one makes, and is done before it.
            faster.append(made(settings, BM25Retriever, corpus, store))
            (Path(faster[0][0].folder) / "theirs").write_text("")

    index, found = made(section(), Slow, corpus, store)
    assert [found for _, found in faster] == [False]
    assert (index, found) == (faster[0][0], True)
    assert (Path(index.folder) / "theirs").exists()
    assert [path.name for path in store.iterdir() if path.suffix != ".lock"] == [index.key]


def test_an_index_that_is_made_elsewhere_is_left_alone(tmp_path: Path, corpus: PassageStore) -> None:
    key = index_key(section(), BM25Retriever, corpus.path)
    other = tmp_path / "store" / f".{key}.0"
    other.mkdir(parents=True)
    owner = this_process()
    Path(f"{other}.owner").write_bytes(msgspec.json.encode(msgspec.structs.replace(owner, machine="elsewhere")))
    assert not made(section(), BM25Retriever, corpus, tmp_path / "store")[1]
    assert other.exists()
    Path(f"{other}.owner").write_bytes(msgspec.json.encode(msgspec.structs.replace(owner, started=1)))
    assert not made(section(k1=1.0), BM25Retriever, corpus, tmp_path / "store")[1]
    assert other.exists()
    shutil.rmtree(tmp_path / "store" / key)
    assert not made(section(), BM25Retriever, corpus, tmp_path / "store")[1]
    assert not other.exists()
    assert not Path(f"{other}.owner").exists()


def test_a_published_index_is_there_for_others(tmp_path: Path, corpus: PassageStore) -> None:
    (tmp_path / "usual").mkdir()
    index, _ = made(section(), BM25Retriever, corpus, tmp_path / "store")
    assert Path(index.folder).stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_passages_that_are_replaced_meanwhile_make_no_index(tmp_path: Path, corpus: PassageStore) -> None:
    class Replaced(BM25Retriever):
        @classmethod
        def build(cls, settings: Any, corpus: PassageStore, folder: Path) -> None:
            passages(corpus.path, "quince tree")
            super().build(settings, corpus, folder)

    with pytest.raises(InputError, match=r"corpus.jsonl: changed while it was indexed; leave it as it is, and make"):
        made(section(), Replaced, corpus, tmp_path / "store")
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".lock"]

    def opened(path: Path) -> PassageStore:
        """The file that is opened is replaced before its first line is read."""
        store = PassageStore(path)
        passages(path, "medlar tree")
        return store

    with pytest.raises(InputError, match=r"corpus.jsonl: changed while it was indexed"):
        made_index(section(), BM25Retriever, corpus.path, tmp_path / "store", opened)
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".lock", ".lock"]


def test_other_versions_of_its_libraries_are_another_index(
    tmp_path: Path, corpus: PassageStore, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(library_versions(section())) == {"bm25s", "PyStemmer"}
    assert all(library_versions(section()).values())
    monkeypatch.setattr(hopeval.indexes, "version", lambda name: "99" if name == "PyStemmer" else version(name))
    with pytest.raises(InputError, match="or made with another PyStemmer; make it again"):
        open_index(manifest, section(), BM25Retriever, corpus.path)
    assert not made(section(), BM25Retriever, corpus, tmp_path / "store")[1]


def test_one_without_its_note_is_made_again(tmp_path: Path, corpus: PassageStore, counting: Any) -> None:
    index, _ = made(section(), counting, corpus, tmp_path / "store")
    (Path(index.folder) / "made.json").write_text('{"key": ')
    again, found = made(section(), counting, corpus, tmp_path / "store")
    assert (found, again.key, len(counting.built)) == (False, index.key, 2)


@pytest.fixture
def manifest(tmp_path: Path, corpus: PassageStore) -> Path:
    index, _ = made(section(), BM25Retriever, corpus, tmp_path / "store")
    write_json(tmp_path / "bm25.json", msgspec.to_builtins(index))
    return tmp_path / "bm25.json"


def test_an_index_is_opened_for_what_it_was_made_of(tmp_path: Path, corpus: PassageStore, manifest: Path) -> None:
    key = index_key(section(), BM25Retriever, corpus.path)
    assert open_index(manifest, section(top_k=3), BM25Retriever, corpus.path) == tmp_path / "store" / key


def test_an_index_of_other_settings_or_passages_is_refused(
    tmp_path: Path, corpus: PassageStore, manifest: Path
) -> None:
    words = r"bm25.json: is an index of other passages than .*, or of other settings, or made with another bm25s, .*"
    with pytest.raises(InputError, match=words):
        open_index(manifest, section(b=0.75), BM25Retriever, corpus.path)
    other = passages(tmp_path / "other.jsonl", "apple")
    with pytest.raises(InputError, match=words):
        open_index(manifest, section(), BM25Retriever, other.path)


def test_an_index_that_is_gone_is_told(tmp_path: Path, corpus: PassageStore, manifest: Path) -> None:
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(InputError, match=r"bm25.json: its index is gone from .*; make it again: snakemake --forcerun"):
        open_index(manifest, section(), BM25Retriever, corpus.path)
    for text in ("", "{}", "[1"):
        manifest.write_text(text)
        with pytest.raises(InputError, match=r"bm25.json: says of no index where it is; make it again"):
            open_index(manifest, section(), BM25Retriever, corpus.path)


# The verb


def test_the_verb_writes_where_the_index_is(tmp_path: Path, corpus: PassageStore, hopeval: Any, refused: Any) -> None:
    where = ["--corpus", corpus.path, "--store", tmp_path / "store", "--output", tmp_path / "m.json"]
    out = hopeval("index", "--retriever", "mine", "--settings", '{"kind": "bm25"}', *where)
    index = json.loads((tmp_path / "m.json").read_text())
    assert out.startswith(f"made {index['folder']}: 2 passages, ")
    assert hopeval("index", "--retriever", "mine", "--settings", '{"kind": "bm25"}', *where).startswith("found ")
    said = refused("index", "--retriever", "mine", "--settings", '{"kind": "given"}', *where)
    assert said == "hopeval index: retrievers.mine: given has no index; leave this step out\n"


def test_nothing_to_index_leaves_nothing(tmp_path: Path, refused: Any) -> None:
    empty = passages(tmp_path / "empty.jsonl")
    where = ["--corpus", empty.path, "--store", tmp_path / "store", "--output", tmp_path / "m.json"]
    said = refused("index", "--retriever", "mine", "--settings", '{"kind": "bm25"}', *where)
    assert "holds no passages, so bm25 has nothing to search; set dataset.corpus" in said
    assert not (tmp_path / "m.json").exists()
    assert not list((tmp_path / "store").rglob("made.json"))
