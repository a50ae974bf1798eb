"""Identity is content: all that determines an answer is in its key, and nothing else."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.errors import InputError
from hopeval.keys import digest, file_sha256, model_fingerprint, passage_id, request_key
from hopeval.records import Message

READER: dict[str, Any] = {
    "model": {"engine": "llamacpp", "options": {}, "weights": "0" * 64},
    "sampling": {"temperature": 0.0, "max_tokens": 64, "seed": 0},
}
PARTS: dict[str, Any] = {
    "reader": READER,
    "messages": [Message("system", "Answer."), Message("user", "Wo ist Málaga?")],
    "schema": {"type": "object", "properties": {"answer": {"type": "string"}}},
}


def test_the_key_of_a_request_does_not_change_between_versions() -> None:
    """Another key for the same request would compute all answers of all users anew: a major version's doing."""
    assert request_key(**PARTS) == "3e0ec7602c72354f7e449587e36faf2d18711abc3f669fcac5e24a0d2162e86f"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def backwards(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert digest(backwards(value)) == digest(value)


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_different_messages_have_different_keys(one: list[str], other: list[str]) -> None:
    made = [request_key({}, [Message("user", text) for text in texts], None) for texts in (one, other)]
    assert (made[0] == made[1]) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts["reader"]["model"].update(engine="vllm"),
        lambda parts: parts["reader"]["model"]["options"].update(n_batch=512),
        lambda parts: parts["reader"]["model"].update(weights="1" * 64),
        lambda parts: parts["messages"].pop(0),
        lambda parts: parts["messages"].reverse(),
        lambda parts: parts.update(messages=[Message("user", "Answer."), parts["messages"][1]]),
        lambda parts: parts.update(messages=[parts["messages"][0], Message("user", "Wo ist Málaga? ")]),
        lambda parts: parts.update(schema=None),
        lambda parts: parts["schema"]["properties"].update(sure={}),
        lambda parts: parts["reader"]["sampling"].update(temperature=0.1),
        lambda parts: parts["reader"]["sampling"].update(max_tokens=65),
        lambda parts: parts["reader"]["sampling"].update(seed=1),
        lambda parts: parts["reader"]["sampling"].update(stop=["\n"]),
    ],
)
def test_each_part_of_a_request_changes_its_key(change: Callable[[dict[str, Any]], object]) -> None:
    parts = copy.deepcopy(PARTS)
    change(parts)
    assert request_key(**parts) != request_key(**PARTS)


texts = st.text(st.characters(exclude_characters="\0"))


@given(texts, st.lists(texts), texts, st.lists(texts))
def test_passages_share_an_id_exactly_when_title_and_sentences_are_equal(
    title: str, sentences: list[str], other_title: str, others: list[str]
) -> None:
    same = (title, sentences) == (other_title, others)
    assert (passage_id(title, sentences) == passage_id(other_title, others)) == same


def test_the_same_text_in_other_sentences_is_another_passage() -> None:
    # Supporting facts are sentence indices: [title, 1] means something else in each.
    assert passage_id("A", ["One. Two.", " Three."]) != passage_id("A", ["One.", " Two. Three."])


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match=r"nowhere: cannot be read: No such file"):
        file_sha256(tmp_path / "nowhere")


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_a_model_is_known_by_every_byte_not_by_its_path(tmp_path: Path, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    one, other = tmp_path / "one.gguf", tmp_path / "folder" / "other.bin"
    other.parent.mkdir()
    one.write_bytes(content)
    other.write_bytes(content)
    assert model_fingerprint(one) == model_fingerprint(other)
    other.write_bytes(content + b"\0")
    assert model_fingerprint(one) != model_fingerprint(other)
    for at in {0, size // 3, size - 1} if size else ():
        other.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert model_fingerprint(one) != model_fingerprint(other), at


def test_hidden_notes_beside_a_model_do_not_count(tmp_path: Path) -> None:
    files = {"config.json": "{}"}
    first = model_fingerprint(folder(tmp_path / "1", files))
    assert model_fingerprint(folder(tmp_path / "2", {**files, ".cache/notes": "today"})) == first


def folder(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_a_folder_of_files_is_known_by_names_and_contents(tmp_path: Path) -> None:
    files = {"config.json": "{}", "weights/1.safetensors": "abc"}
    first = model_fingerprint(folder(tmp_path / "1", files))
    assert model_fingerprint(folder(tmp_path / "elsewhere" / "2", dict(reversed(files.items())))) == first
    changed = [
        {**files, "weights/1.safetensors": "abd"},
        {**files, "tokenizer.json": ""},
        {"config.json": "{}", "weights/2.safetensors": "abc"},
        {"config.json": "{}"},
    ]
    others = {model_fingerprint(folder(tmp_path / f"changed{i}", new)) for i, new in enumerate(changed)}
    assert len(others | {first}) == 5


def test_a_missing_model_has_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.gguf: no model file here; check the path"):
        model_fingerprint(tmp_path / "nowhere.gguf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no model file here"):
        model_fingerprint(tmp_path / "empty")
