"""What benchmarks say of their goals, and that the README's table is what was last measured."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.md"))


def module(name: str) -> ModuleType:
    """A module of benchmarks/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/bench.py."""
    monkeypatch.setitem(sys.modules, "goals", module("goals"))
    return module("bench")


def table(text: str) -> list[str]:
    """The lines of the table of goals."""
    lines = text.splitlines()
    begin = lines.index("| what | measured | goal | | by |")
    return lines[begin : next((i for i in range(begin, len(lines)) if not lines[i].startswith("|")), len(lines))]


def test_a_goal_is_read_as_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    goals = module("goals")
    assert goals.goal("time: of all", 0.6, most=0.6)
    assert not goals.goal("rate", 0.94999, least=0.95)
    print("goal: no line of a goal")
    assert goals.goals_in(capsys.readouterr().out) == [
        ("time: of all", "0.6", "at most 0.6", "met"),
        ("rate", "0.95", "at least 0.95", "missed"),
    ]


def test_a_missed_goal_is_no_failure_and_an_error_is(bench: ModuleType) -> None:
    missed = bench.Ran("benchmarks/a.py", 1.0, 1, "goal: a: 2 at most 1, missed\n")
    failed = bench.Ran("benchmarks/b.py --x", 1.0, 2, "goal: b: 1 at most 1, met\n")
    assert (missed.failed, failed.failed) == (False, True)
    written = bench.report([missed, failed], load=0.0)
    assert table(written)[2:] == [
        "| a | 2 | at most 1 | missed | `benchmarks/a.py` |",
        "| b | 1 | at most 1 | met | `benchmarks/b.py` |",
    ]
    assert "which FAILED with 2" in written.partition("## `benchmarks/b.py --x`")[2]


def test_what_was_measured_is_read_back(bench: ModuleType, tmp_path: Path) -> None:
    runs = {
        "a": bench.Ran("benchmarks/a.py", 1.0, 1, "words\n\ngoal: a: 2 at most 1, missed"),
        "b": bench.Ran("benchmarks/b.py --x 1", 61.0, 2, "| no | goal |"),
    }
    file = tmp_path / "results.md"
    assert bench.measured(file) == {}
    file.write_text(bench.report(list(runs.values()), load=0.0))
    read = bench.measured(file)
    assert [ran.failed for ran in read.values()] == [False, True]
    assert read == {"a": runs["a"]._replace(code=0), "b": runs["b"]}


def test_every_benchmark_that_is_run_is_there(bench: ModuleType) -> None:
    assert [name for name in bench.BENCHMARKS if not (ROOT / "benchmarks" / f"{name}.py").is_file()] == []


def test_the_readme_shows_what_was_last_measured(bench: ModuleType) -> None:
    measured = RESULTS[-1].read_text()
    assert table((ROOT / "README.md").read_text()) == table(measured)
    ran = {line.split("`")[1].removeprefix("benchmarks/").split(".py")[0] for line in table(measured)[2:]}
    assert ran == set(bench.BENCHMARKS)
