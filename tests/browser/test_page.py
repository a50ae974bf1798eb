"""What the page does when something is unlike what it expects: an address, its data, the window, a number."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hopeval.io import write_records
from hopeval.records import RankedPassage, Response
from hopeval.report.page import write
from small_run import SmallRun, answer, passage

QUESTIONS = 60
FORMATTED = """values => {
  const modules = {};
  %s
  const { percent, points, seconds } = modules.format;
  return values.map(value => [percent(value), points(value), seconds(value)]);
}"""


@pytest.fixture(scope="session")
def report(chromium: str, tmp_path_factory: pytest.TempPathFactory, verb: Any, question: Any) -> Path:
    ids = [f"q{i:02d}" for i in range(QUESTIONS)]
    ranked = {key: [passage("A", "A is one.", " A is two."), passage("B", "B is one.")] for key in ids}
    replies = {name: {key: answer("Paris") for key in ids} for name in ("given.cited.r", "none.cited.r")}
    run = SmallRun(tmp_path_factory.mktemp("page"), verb).write([question(key) for key in ids], ranked, replies)
    return run.report()


def formatted(opened: Any, values: list[float]) -> list[list[str]]:
    """The percentage, points and seconds of each value, as the page writes them."""
    module = write._enclosed("format", (write.FOLDER / "format.js").read_text(encoding="utf-8"))
    found: list[list[str]] = opened.tab.evaluate(FORMATTED % module, values)
    return found


def test_a_share_is_rounded_as_everywhere_else(page: Any) -> None:
    shares = [wins / total for total in (8, 40, 80, 160, 400, 800, 1000, 2000, 7405) for wins in range(total + 1)]
    shares += [random.Random(0).random() for _ in range(10_000)]
    signed = [*shares, *(-share for share in shares if share)]
    found = formatted(page(), signed)
    assert [percent for percent, _, _ in found[: len(shares)]] == [f"{100 * share:.1f}" for share in shares]
    assert [points for _, points, _ in found] == [f"{100 * share:+.1f}".replace("-", "−") for share in signed]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (1.234, "1.23 s"),
        (99.4, "99.4 s"),
        (99.6, "1 min 40 s"),
        (119.6, "2 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7199, "2 h 0 min"),
        (7261, "2 h 1 min"),
    ],
)
def test_sixty_seconds_are_a_minute(page: Any, seconds: float, shown: str) -> None:
    assert formatted(page(), [seconds])[0][2] == shown


def test_skipping_to_the_content_leaves_the_view(page: Any, report: Path) -> None:
    opened = page().open(report, "v=questions&f=right")
    opened.tab.focus(".skip")
    opened.press("Enter")
    assert opened.tab.evaluate("[location.hash, document.activeElement.id]") == ["#v=questions&f=right", "main"]
    assert opened.found == QUESTIONS


@pytest.mark.parametrize("name", ["constructor", "__proto__", "toString", "near", "cell", "status:", "nothing"])
def test_a_filter_that_is_none_leaves_a_list(page: Any, report: Path, name: str) -> None:
    opened = page().open(report, f"v=questions&f={name}")
    assert opened.found in (0, QUESTIONS)
    assert opened.go("v=compare").text.startswith("Compare two")


def test_a_part_that_fails_says_so_and_the_others_are_there(page: Any, report: Path) -> None:
    opened = page().open(report)
    opened.tab.evaluate("document.getElementById('index').remove()")
    assert "This cannot be shown" in opened.go("v=questions").text
    assert len(opened.wrong) == 1
    opened.wrong.clear()
    assert "What was retrieved" in opened.go("v=failures").text
    assert "snakemake --cores all" in opened.go("v=making").text


def test_rows_keep_apart_when_the_window_changes(page: Any, report: Path) -> None:
    opened = page(1200).open(report, "v=questions")
    opened.tab.eval_on_selector(".list", "list => { list.scrollTop = 20 * 48; }")
    for width, height in ((400, 84), (1200, 48)):
        opened.tab.set_viewport_size({"width": width, "height": 900})
        opened.tab.wait_for_selector(f".spacer[style*='height: {QUESTIONS * height}px']", state="attached")
        boxes = opened.tab.eval_on_selector_all(
            ".list a.row", "rows => rows.map(row => row.getBoundingClientRect()).map(box => [box.top, box.bottom])"
        )
        boxes.sort()
        assert all(above[1] <= below[0] + 0.5 for above, below in pairwise(boxes)), width
        top = opened.tab.eval_on_selector(".list", "list => list.getBoundingClientRect().top")
        first = next(i for i, box in enumerate(boxes) if box[1] > top + 2)
        links = opened.tab.eval_on_selector_all(
            ".list .item", "all => all.map(row => Number(row.dataset.order)).sort((a, b) => a - b)"
        )
        assert links[first] == 20, width


def test_back_leads_to_the_row_that_was_opened(page: Any, report: Path) -> None:
    opened = page(1440, 600).open(report, "v=questions")
    opened.tab.eval_on_selector(".list", "list => { list.scrollTop = 40 * 48; }")
    opened.click(".item[data-order='41'] a")
    assert "42 of 60" in opened.text
    opened.tab.go_back()
    opened.arrived()
    assert opened.tab.is_visible(".item[data-order='41'] a")
    assert opened.tab.eval_on_selector(".list", "list => list.scrollTop") > 20 * 48
    opened.tab.fill("#search", "q")
    assert "at=" not in opened.address


def test_judged_passages_are_marked_by_their_ids(page: Any, tmp_path: Path, verb: Any, question: Any) -> None:
    twins = [RankedPassage(id=i, title="A", sentences=[f"A is {i}."]) for i in ("wrong", "<b>right</b>")]
    asked = question("q1", supporting_facts=None, relevant={"<b>right</b>": 2, "<i>lost</i>": 1})
    run = SmallRun(tmp_path, verb).write([asked], {"q1": twins}, {"given.cited.r": {"q1": answer("Paris")}})
    opened = page().open(run.report(), "q=q1")
    assert [text.split() for text in opened.texts(".passage h3")] == [
        ["1.", "A"],
        ["2.", "A", "★", "gold", "passage,", "grade", "2"],
    ]
    assert "not retrieved: <i>lost</i> (grade 1)" in opened.text
    assert "some gold passages in the prompt" in opened.text


def test_how_it_ran_has_the_queries_of_hops_too(page: Any, tmp_path: Path, verb: Any, question: Any) -> None:
    run = SmallRun(tmp_path, verb)
    run.write([question("q1")], {"q1": []}, {"given.cited.r": {"q1": answer("Paris")}})
    for hop in ("given-2", "gone-2"):  # the second is of a retriever that is no longer in the configuration
        queries = [Response(key="k", text="Query: x", prompt_tokens=7, shard="1-of-1", at="2026-01-01T00:00:00+00:00")]
        write_records(tmp_path / "readers" / "R" / "hops" / hop / "responses.jsonl", queries)
    opened = page().open(run.report(), "v=running")
    assert opened.texts("#running h2") == ["Reader R for hop 2 of given", "Reader r"]
    assert opened.texts("#running h3").count("Slowest requests") == 1


def test_keys_lead_nowhere_from_a_question_that_is_none(page: Any, report: Path) -> None:
    opened = page().open(report, "q=q10").go("q=nothing")
    opened.tab.keyboard.press("ArrowRight")
    assert "No such question" in opened.arrived().text
    assert opened.address.endswith("#q=nothing")
