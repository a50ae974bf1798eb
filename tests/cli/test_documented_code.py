"""What the documentation shows as code of the user's own does what it says, as it stands there."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def blocks():
    """The blocks of a language that a page of docs/ has."""
    return lambda page, language: re.findall(
        rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("my_engines", "my_retrievers"):
        sys.modules.pop(name, None)


def test_engine(here, blocks, hopeval, write, records):
    (code,) = blocks("readers.md", "python")
    assert len([line for line in code.splitlines() if line and not line.startswith("#")]) <= 10
    (here / "my_engines.py").write_text(code)
    settings = next(
        reader
        for block in blocks("readers.md", "yaml")
        for reader in yaml.safe_load(block)["readers"].values()
        if reader.get("engine") == "my_engines:Shouting"
    )
    messages = [{"role": "user", "content": "Context.\nWhere is it?"}]
    requests = [{"key": f"{i:064d}", "question_id": f"q{i}", "messages": messages} for i in range(3)]
    paths = {"requests": write("requests.jsonl", lines=requests), "journal": here / "journal", "output": here / "out"}
    hopeval(
        *("infer", "--reader", "shouting", "--settings", json.dumps(settings)),
        *(part for name, path in paths.items() for part in (f"--{name}", path)),
    )
    answers = [json.loads(response["text"])["answer"] for response in records(here / "out")]
    assert answers == [str(len("Where is it?"))] * 3


def test_retriever(here, blocks, hopeval, write, records):
    (code,) = blocks("retrieval.md", "python")
    (here / "my_retrievers.py").write_text(code)
    (settings,) = (
        entry
        for block in blocks("retrieval.md", "yaml")
        for entry in yaml.safe_load(block).get("retrievers", {}).values()
        if entry and entry.get("kind") == "my_retrievers:First"
    )
    passages = [{"id": str(i), "title": str(i), "sentences": ["One."]} for i in range(30)]
    hopeval(
        *("retrieve", "--retriever", "first", "--settings", json.dumps(settings)),
        *("--questions", write("questions.jsonl", lines=[{"id": "q", "text": "?"}])),
        *("--passages", write("passages.jsonl", lines=passages), "--output", here / "out", "--metrics", here / "m"),
        *("--run-file", here / "run"),
    )
    (context,) = records(here / "out")
    assert [passage["id"] for passage in context["passages"]] == [str(i) for i in range(10)]
