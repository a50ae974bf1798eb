"""A report as large as HotpotQA's dev set with six experiments: what it weighs, and that it stays quick.

Times are printed, not asserted: pytest -s tests/browser/test_large.py, or benchmarks/report.py.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = 7_405
MEGABYTE = 1_000_000
FIRST_VIEW = """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""
FILTERED = """(change) => {
  const begun = performance.now();
  if (change.f === undefined) {
    const search = document.getElementById("search");
    search.value = change.s;
    search.dispatchEvent(new Event("input", { bubbles: true }));
  } else document.querySelector(`#chips [data-filter="${change.f}"]`).click();
  document.querySelector(".list").getBoundingClientRect();
  return performance.now() - begun;
}"""


def benchmark(name: str) -> ModuleType:
    """A module of benchmarks/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def large(chromium: str, tmp_path_factory: pytest.TempPathFactory, verb: Callable[..., str]) -> Path:
    """The results folder, with a report of each kind."""
    folder = tmp_path_factory.mktemp("large")
    benchmark("made_up_run").write_run(folder, QUESTIONS)
    verb("report", "--results", folder)
    verb("report", "--results", folder, "--passages", "all", "--output", folder / "all.html")
    return folder


@pytest.mark.parametrize(("name", "most"), [("report.html", 12), ("all.html", 40)])
def test_it_weighs_no_more_than_promised(large: Path, name: str, most: int) -> None:
    size = (large / name).stat().st_size / MEGABYTE
    print(f"{name}: {size:.1f} MB")
    assert size <= most


@pytest.mark.parametrize("name", ["report.html", "all.html"])
def test_it_opens_and_filters(page: Any, large: Path, name: str) -> None:
    opened = page().open(large / name)
    print(f"{name}: first view after {opened.tab.evaluate(FIRST_VIEW) / 1000:.2f} s")
    assert len(opened.texts(".board tbody th")) == 6
    opened.go("v=questions")
    assert opened.found == QUESTIONS
    for change in ({"f": "wrong"}, {"f": "disagree"}, {"s": "a"}, {"s": "kalo"}, {"f": ""}, {"s": ""}):
        print(f"{name}: filter {change} {opened.tab.evaluate(FILTERED, change):.0f} ms")
    assert opened.found == QUESTIONS


def test_only_what_is_seen_is_in_the_page(page: Any, large: Path) -> None:
    opened = page().open(large / "report.html", "v=questions")
    rows = opened.tab.locator(".list .item")
    assert 10 < rows.count() < 60
    for place in (0.5, 0.99, 0.01):
        opened.tab.eval_on_selector(".list", f"list => {{ list.scrollTop = list.scrollHeight * {place}; }}")
        opened.tab.wait_for_selector(f".list [data-order='{int(QUESTIONS * place)}']", state="attached")
        assert 10 < rows.count() < 60
        shown = sorted(int(value) for value in rows.evaluate_all("all => all.map(row => row.ariaPosInSet)"))
        assert shown[0] <= QUESTIONS * place <= shown[-1] + 60
    assert rows.first.get_attribute("aria-setsize") == str(QUESTIONS)


def test_any_question_opens_with_its_passages_and_prompt(page: Any, large: Path, records: Any) -> None:
    questions = records(large / "questions.jsonl")
    opened = page()
    for place in (0, 31, 32, 4_000, QUESTIONS - 1):
        question = questions[place]
        opened.open(large / "all.html", f"q={question['id']}&e=bm25%4010.cited.made-up")
        assert opened.texts("#question h1") == [question["text"]]
        assert opened.tab.locator(".passage").count() == 10
        assert opened.tab.locator(".sentences li").count() > 20
        gold = opened.texts(".passage h3:has(.is-gold)")
        assert all(any(title in shown for shown in gold) for title, _ in question["supporting_facts"])
    opened.open(large / "report.html", f"q={questions[7]['id']}")
    assert "This page holds the passages' titles only" in opened.text
    opened.tab.click("summary:has-text('Exact prompt') >> nth=0")
    opened.tab.locator("details.long pre").first.wait_for()
    assert "⟨sentence 1 of " in opened.tab.locator("details.long pre").last.inner_text()


def test_counts_are_those_of_the_files(page: Any, large: Path) -> None:
    import pandas as pd

    name = "bm25@5.cited.made-up"
    table = pd.read_csv(large / "experiments" / name / "questions.csv")
    opened = page().open(large / "report.html", "v=questions&e=bm25%405.cited.made-up&f=status:truncated")
    assert opened.found == (table["status"] == "truncated").sum() > 0
    opened.go("v=questions&e=bm25%405.cited.made-up&f=cell:some/wrong")
    assert opened.found == (table["cell"] == "some/wrong").sum() > 0
    opened.go("v=questions&e=bm25%405.cited.made-up&f=near")
    assert opened.found == table["near_miss"].notna().sum() > 0
