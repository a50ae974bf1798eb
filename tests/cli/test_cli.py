"""The command line as its users see it: help, exit codes, and one message for each mistake."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopeval import __version__
from hopeval.__main__ import VERBS
from hopeval.io import write_records
from hopeval.metrics.hotpotqa import METRICS

ROOT = Path(__file__).parents[2]
ROW = {"_id": "q1", "question": "Who?", "answer": "He", "supporting_facts": [["A", 0]], "context": [["A", ["He did."]]]}
TEMPLATE = '{"p": {"template": "t.jinja", "output": "text"}}'


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., SimpleNamespace]:
    """Runs hopeval as a process of its own in the test's folder: code, out and err."""

    def run(*arguments: Any, **variables: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "hopeval", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "workflow"), "COLUMNS": "120", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


# Help


def test_help_lists_every_verb(cli: Any) -> None:
    shown = cli("--help")
    assert (shown.code, shown.err) == (0, "")
    listed = re.findall(r"^    (\w+)\s+(\S.*)$", shown.out, re.MULTILINE)
    assert dict(listed) == VERBS


def test_every_verb_is_a_module_and_every_module_a_verb() -> None:
    folder = ROOT / "workflow" / "hopeval" / "commands"
    assert sorted(VERBS) == sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(cli: Any, verb: str) -> None:
    shown = cli(verb, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"usage: hopeval {verb} ")


def test_version(cli: Any) -> None:
    assert cli("--version").out == f"hopeval {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: verb"),
        (["scores"], "invalid choice: 'scores'"),
        (["score"], "the following arguments are required: --questions, --predictions"),
        (["score", "--question", "x"], "required: --questions"),
        (["prepare", "--questions", "x", "--output", "o", "--format", "csv"], "invalid choice: 'csv'"),
        (
            ["prepare", "--questions", "x", "--output", "o", "--max-questions", "-1"],
            "'-1' is not a whole number from 1",
        ),
        (["config", "nowhere.yaml"], "neither inline JSON nor a readable YAML file"),
        (["config", "{"], "malformed JSON"),
        (["retrieve", "--settings", "[]"], "neither inline JSON nor a readable YAML file"),
        (["plan", "--contexts", "bm25"], "'bm25' is not NAME=PATH"),
    ],
)
def test_wrong_arguments_end_with_2_and_the_usage(cli: Any, arguments: list[str], said: str) -> None:
    shown = cli(*arguments)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("usage: hopeval")
    assert said in shown.err


# Mistakes


def told(shown: SimpleNamespace, verb: str, said: str, code: int = 2) -> None:
    """One message, under the verb's name, with the exit code, and no traceback."""
    assert shown.code == code, shown.err
    assert shown.err.startswith(f"hopeval {verb}: ")
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "data: cannot be read: No such file or directory; check the path"),
        (b'[\n{"_id": "q1",\n"question" "Who?"}\n]', "data:3: malformed JSON: Expecting ':' delimiter"),
        (json.dumps([ROW, ROW]).encode(), "data:1: id 'q1' was already used on line 1; ids must be unique"),
        (b"[]", "data: holds no question; check dataset.questions"),
        (b"", "data: holds no question; check dataset.questions"),
        (b'{"_id": "q1", "question": "Who?"}\n\n{"_id": "\xff"}', "data:3: not valid UTF-8"),
        (gzip.compress(json.dumps([ROW] * 9).encode())[:-12], "data: damaged gzip file"),
        (b'[{"_id": "q1", "question": 3}]', "data:1: Expected `str`, got `int` - at `$.question` (id 'q1')"),
        (b'[{"id": "q1", "text": "Who?"}]', "data: the first row has 'id', 'text'; HotpotQA's rows have '_id'"),
        (b'[{"_id": "q1", "question": "half \\ud83d"}]', "surrogates not allowed"),
        (b'{"id": 1, "query": "?", "context": "", "success": false}', "data: holds no question to answer"),
        (b"[" * 100_000, "data:1: malformed JSON"),
    ],
)
def test_bad_questions_are_told_and_nothing_is_written(
    cli: Any, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "data").write_bytes(content)
    told(cli("prepare", "--questions", "data", "--output", "out"), "prepare", said)
    assert [path.name for path in tmp_path.rglob("*") if path.name not in ("data", "out")] == []


def test_a_wrong_sha256_is_told_before_anything_is_read(cli: Any, write: Any, tmp_path: Path) -> None:
    write("data", "not even JSON")
    shown = cli("prepare", "--questions", "data", "--sha256", "0" * 64, "--output", "out")
    told(shown, "prepare", f"expected {'0' * 64}; fetch the file again or correct the expected value")
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_a_configuration_are_told_at_once(cli: Any, write: Any) -> None:
    write("mine.yaml", "dataset: {sha: 1}\nreaders: {smollm2: {gpu: 1, share: 9}}\n")
    shown = cli("config", ROOT / "config.yaml", "mine.yaml")
    told(shown, "config", "3 mistakes in the configuration:")
    for line in ("dataset.sha: unknown key", "readers.smollm2.gpu: unknown key", "readers.smollm2.share: found 9"):
        assert f"\n  {line}" in shown.err


@pytest.fixture
def plan(cli: Any, tmp_path: Path, write: Any, question: Any, context: Any) -> Callable[[], SimpleNamespace]:
    """Plans one question with one experiment; the files may be spoiled before."""
    write("t.jinja", "{{ question }}")
    write_records(tmp_path / "questions.jsonl", [question("q1")])
    write_records(tmp_path / "given.jsonl", [context("q1", "A")])
    experiments = '{"given.p.r": {"retriever": "given", "top_k": null, "prompt": "p"}}'
    arguments = ["plan", "--reader", "r", "--settings", '{"engine": "my:Engine"}', "--prompts", TEMPLATE]
    arguments += ["--experiments", experiments, "--questions", "questions.jsonl", "--contexts", "given=given.jsonl"]
    return lambda: cli(*arguments, "--output", "requests.jsonl")


def test_a_plan_says_what_it_did(plan: Any, tmp_path: Path) -> None:
    shown = plan()
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "1 requests for 1 experiments, 0 passages left out for length\n"
    assert (tmp_path / "requests.jsonl").exists()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ question", "t.jinja:1: template error"),
        ("\n{{ nothing }}", "t.jinja:2: template error: 'nothing' is undefined; a template sees question and passages"),
        (None, "t.jinja: template cannot be read: No such file or directory"),
    ],
)
def test_a_bad_template_is_told(plan: Any, write: Any, tmp_path: Path, template: str | None, said: str) -> None:
    if template is None:
        (tmp_path / "t.jinja").unlink()
    else:
        write("t.jinja", template)
    told(plan(), "plan", said)
    assert not (tmp_path / "requests.jsonl").exists()


def test_contexts_of_other_questions_are_told(plan: Any, tmp_path: Path, context: Any) -> None:
    write_records(tmp_path / "given.jsonl", [context("another", "A")])
    told(plan(), "plan", "given.jsonl: has question 'another' where question 'q1' is due; retrieve again")
    assert not (tmp_path / "requests.jsonl").exists()


def test_what_the_system_refuses_is_told(cli: Any, write: Any) -> None:
    write("data", [ROW])
    told(cli("prepare", "--questions", "data", "--output", "data/below"), "prepare", "check the path", code=1)


def test_a_reader_of_our_output_may_go_away(tmp_path: Path) -> None:
    command = f"{sys.executable} -m hopeval config --schema | true"
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr


# Score as a drop-in for the official script


def test_score_prints_the_twelve_official_keys_and_nothing_else(cli: Any, write: Any) -> None:
    write("gold.json", [ROW, {**ROW, "_id": "q2"}])
    write("predictions.json", {"answer": {"q1": "he"}, "sp": {"q1": [["A", 0]]}})
    shown = cli("score", "--questions", "gold.json", "--predictions", "predictions.json")
    assert shown.code == 0
    assert shown.out.count("\n") == 1
    assert json.loads(shown.out) == dict.fromkeys(METRICS, 0.5)
    assert list(json.loads(shown.out)) == list(METRICS)
    assert shown.err == (
        "warning: 1 of 2 questions have no predicted answer; they count as 0\n"
        "warning: 1 of 2 questions have no predicted supporting facts; they count as 0\n"
    )
