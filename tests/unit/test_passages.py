"""The file of passages: what a store gives with its sidecar it gives without, and no other file's sidecar is used."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.errors import InputError
from hopeval.passages import PassageStore, PassageWriter, TwinError, sidecar
from hopeval.records import Passage

texts = st.text(st.characters(codec="utf-8"), max_size=8)
several = st.lists(st.builds(Passage, id=texts, title=texts, sentences=st.lists(texts, max_size=3)), max_size=12)


def written(path: Path, *passages: Passage) -> Path:
    with PassageWriter(path) as writer:
        for passage in passages:
            writer.write(passage)
    return path


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return written(tmp_path / "p.jsonl", *(Passage(id=f"é{i}", title=f"T{i % 2}", sentences=["\n"]) for i in range(3)))


@given(several)
def test_with_and_without_a_sidecar_the_same_is_found(
    tmp_path_factory: pytest.TempPathFactory, passages: list[Passage]
) -> None:
    unique = list({passage.id: passage for passage in passages}.values())
    path = written(tmp_path_factory.mktemp("store") / "p.jsonl", *unique)
    alone = Path(shutil.copy(path, path.with_name("alone.jsonl")))
    for store in (PassageStore(path), PassageStore(alone)):
        assert list(store) == unique == [store[i] for i in range(len(store))]
        assert store.ids(range(len(store))) == [passage.id for passage in unique]
        for place, passage in enumerate(unique):
            assert store.position(passage.id) == place
            assert store.by_id(passage.id) == passage
            assert store.title(passage.id) == passage.title
            assert store.by_title(passage.title) == next(p for p in unique if p.title == passage.title)
        assert "not there, since it is too long" not in store
        assert store.by_title("not there, since it is too long") is None


def test_a_sidecar_saves_reading_the_file(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PassageStore, "_read_through", lambda store: pytest.fail("read through"))
    assert PassageStore(three).by_id("é2").title == "T0"


def changed_in_place(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"T1"', b'"X1"'))
    os.utime(path, ns=(0, 0))


def made_longer(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b'{"id": "new", "title": "X1", "sentences": []}\n')


def sidecar_torn(path: Path) -> None:
    sidecar(path).write_bytes(sidecar(path).read_bytes()[:-1])


def sidecar_of_another_kind(path: Path) -> None:
    sidecar(path).write_bytes(b"[]")


@pytest.mark.parametrize("damage", [changed_in_place, made_longer, sidecar_torn, sidecar_of_another_kind])
def test_a_sidecar_that_does_not_fit_is_not_used(three: Path, damage: object) -> None:
    damage(three)  # type: ignore[operator]
    expected = [json.loads(line) for line in three.read_text().splitlines()]
    assert [passage.title for passage in PassageStore(three)] == [row["title"] for row in expected]
    assert all(PassageStore(three).by_id(row["id"]).title == row["title"] for row in expected)


def test_a_copied_file_keeps_its_sidecar(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for file in (three, sidecar(three)):
        shutil.copyfile(file, there / file.name)
    monkeypatch.setattr(PassageStore, "_read_through", lambda store: pytest.fail("read through"))
    assert len(PassageStore(there / "p.jsonl")) == 3


def test_an_id_that_comes_twice_leaves_the_earlier_file(three: Path) -> None:
    before = three.read_bytes()
    with pytest.raises(TwinError, match=r"p.jsonl: passages 2 and 3 have the same id") as caught:
        written(three, *(Passage(id=i, title="", sentences=[]) for i in "abb"))
    assert caught.value.positions == (1, 2)
    assert three.read_bytes() == before
    assert PassageStore(three).by_id("é1")
    assert sorted(path.name for path in three.parent.iterdir()) == ["p.jsonl", "p.jsonl.index"]


def test_an_empty_file_holds_no_passages(tmp_path: Path) -> None:
    store = PassageStore(written(tmp_path / "p.jsonl"))
    assert (len(store), list(store), "a" in store, store.ids([])) == (0, [], False, [])
    with pytest.raises(InputError, match="no passage has the id 'a'"):
        store.by_id("a")
