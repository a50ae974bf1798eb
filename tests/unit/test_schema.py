"""The JSON schema that editors use: it takes the files that users write, and refuses what the checks refuse."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from hopeval.config import json_schema

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def documented():
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for block in re.findall(r"^```yaml\n(.*?)^```", file.read_text(), re.MULTILINE | re.DOTALL):
            yield pytest.param(yaml.safe_load(block), id=file.name)


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_default_configuration_is_valid():
    VALIDATOR.validate(yaml.safe_load((ROOT / "config.yaml").read_text()))


@pytest.mark.parametrize("overlay", list(documented()))
def test_documented_files_are_valid(overlay):
    VALIDATOR.validate(overlay)


@pytest.mark.parametrize(
    "overlay",
    [
        {"dataset": {"name": "hotpot", "questions": "dev.json"}, "readers": {"smollm2": None}},
        {"retrievers": {"bm25": {"top_k": [2]}}},
        {"retrievers": {"bm25": {"stemmer": None}, "none": None, "gold": None}},
        {"retrievers": {"mine": {"kind": "my_retrievers:First", "options": {"depth": 3}}}},
        {"dataset": {"max_questions": None, "corpus": None}},
        {"prompts": {"cited": None, "mine": {"template": "mine.jinja", "output": "text"}}},
        {"readers": {"smollm2": {"shards": 4, "sampling": {"max_tokens": 32}}}},
        {"readers": {"q": {"engine": "llamacpp", "model": {"repo": "a/b", "file": "c.gguf", "revision": "d"}}}},
        {"readers": {"mine": {"engine": "my_engines:Shouting", "options": {"version": 2}}}},
        {"experiments": ["bm25@2.*"]},
        {},
    ],
    ids=str,
)
def test_overlays_are_valid(overlay):
    VALIDATOR.validate(overlay)


@pytest.mark.parametrize(
    "overlay",
    [
        {"dataste": {}},
        {"dataset": {"sha": "0"}},
        {"dataset": {"max_questions": "all"}},
        {"dataset": []},
        {"retrievers": {"bm25": {"topk": 2}}},
        {"retrievers": {"bm25": {"top_k": "two"}}},
        {"retrievers": {"gold": {"kind": "gold", "top_k": 2}}},
        {"prompts": {"cited": {"output": "xml"}}},
        {"readers": {"smollm2": {"gpu": 1}}},
        {"readers": {"smollm2": {"share": 9}}},
        {"readers": {"smollm2": {"sampling": {"temperature": "hot"}}}},
        {"readers": {"smollm2": {"engine": "vlm"}}},
        {"experiments": "some"},
    ],
    ids=str,
)
def test_mistakes_are_not_valid(overlay):
    assert not VALIDATOR.is_valid(overlay)
