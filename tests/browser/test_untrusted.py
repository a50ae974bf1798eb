"""Texts that mean harm, and runs with hardly anything in them: shown as words, without a NaN."""

from pathlib import Path
from typing import Any

import pytest

from hopeval.records import Question
from small_run import SmallRun, answer, passage

VIEWS = ["leaderboard", "compare", "failures", "running", "questions", "making"]
HOSTILE = {
    "script": "<script>alert('script')</script>",
    "end": "</script><script>alert('end')</script>",
    "comment": "<!-- <script> --> <![CDATA[ ]]> <!--",
    "image": "<img src=x onerror=\"alert('image')\">",
    "address": "javascript:alert('address')",
    "attribute": "\"onmouseover=\"alert('attribute')\" x='",
    "template": "{{ 7 * 7 }} {% raw %} ${alert(1)} `",
    "separators": "line\u2028paragraph\u2029null\x00bell\x07escape\x1b[31m\u202eright to left\u200b",
    "carriage return": "one\rtwo",
    "marks": "\ue000\ue001\ue002\ue003 of the private use area",
    "entities": "&lt;b&gt; &amp;amp; &#60;script&#62;",
    "long": "x" * 10_000,
    "emoji": "👩‍👩‍👧‍👦 é é 𝒳 \ufeff",
    "proto": "__proto__",
}
"""By the id of a question; ids are hostile as well."""


@pytest.fixture(scope="session")
def hostile(chromium: str, tmp_path_factory: pytest.TempPathFactory, verb: Any) -> SmallRun:
    """A run in which every text is one of them."""
    questions, passages, replies = [], {}, {"given.cited.r": {}, "bm25@1.cited.r": {}, "none.cited.r": {}}
    for name, text in HOSTILE.items():
        key = _id(name)
        facts = [(text, 0), ("Second", 1)]
        fields = {"answer": text, "type": text[:200], "level": name, "supporting_facts": facts}
        questions.append(Question(id=key, text=f"Is it {text}?", **fields))
        passages[key] = [passage(text, text, f" {text} ", "", score=1.5), passage("Second", "One.", text)]
        replies["given.cited.r"][key] = answer(text, 1, 5)
        replies["bm25@1.cited.r"][key] = text  # unparsable
        replies["none.cited.r"][key] = {"error": f"failed: {text}", "attempts": 3}
    replies["none.cited.r"][_id("script")] = answer(f"<b>{HOSTILE['image']}</b>", 77)
    run = SmallRun(tmp_path_factory.mktemp("hostile"), verb).write(questions, passages, replies)
    run.report()
    return run


def _id(name: str) -> str:
    return f"{name}<&\"'>#?%/ é"


def test_every_view_shows_the_words_and_does_nothing_else(page: Any, hostile: SmallRun) -> None:
    opened = page()
    for view in VIEWS:
        opened.open(hostile.folder / "report.html", f"v={view}")
        assert not opened.overflows, view
        assert opened.tab.locator("main img, main script, main iframe, main b").count() == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_question_is_shown_as_it_is(page: Any, hostile: SmallRun, records: Any, name: str) -> None:
    text = HOSTILE[name]
    opened = page(400)
    opened.open(hostile.folder / "report.html", "v=questions")
    opened.tab.fill("#search", name)
    links = opened.tab.eval_on_selector_all(
        "a.row", "rows => rows.map(row => [row.hash, row.querySelector('.text').textContent])"
    )
    link = next(link for link, shown in links if shown == f"Is it {text}?")
    opened.go(link.lstrip("#"))
    assert opened.tab.locator("#question h1").text_content() == f"Is it {text}?"
    assert not opened.overflows
    assert opened.tab.locator("#question img, #question script, #question b").count() == 0
    raw = opened.tab.locator(".card", has_text="bm25@1.cited.r").locator("pre").first.text_content()
    assert raw == text
    assert opened.tab.locator(".passage h3").first.evaluate("h => h.childNodes[1].textContent") == text
    assert (
        opened.tab.locator(".passage").first.locator("li").nth(1).evaluate("li => li.lastChild.textContent")
        == f" {text} "
    )
    opened.tab.reload()
    opened.arrived()
    assert opened.tab.locator("#question h1").text_content() == f"Is it {text}?"
    assert_exact_prompt(opened, records(hostile.folder / "readers" / "r" / "requests.jsonl"), _id(name))
    assert not opened.overflows


def assert_exact_prompt(opened: Any, requests: list[dict[str, Any]], key: str) -> None:
    request = next(r for r in requests if r["question_id"] == key and "given.cited.r" in r["experiments"])
    opened.tab.click(".card:has-text('given.cited.r') summary:has-text('Exact prompt')")
    opened.tab.locator("details.long pre").first.wait_for()
    shown = opened.tab.locator("details.long pre").evaluate_all("all => all.map(pre => pre.textContent)")
    assert shown == [message["content"] for message in request["messages"]]


def test_hovering_and_clicking_does_nothing_else(page: Any, hostile: SmallRun) -> None:
    opened = page()
    opened.open(hostile.folder / "report.html", "v=running")
    for title in ("Slowest requests", "Errors and retries"):
        opened.tab.hover(f"text={title}")
    opened.go("v=questions")
    opened.tab.select_option("label:has-text('Type') select", HOSTILE["image"])
    assert opened.found == 1
    opened.go('v=questions&e=<script>alert(1)</script>&f=cell:<img/>&s=</script>&t="><img src=x onerror=alert(1)>')
    assert opened.found == 0


# Hardly anything


def shown_everywhere(opened: Any, report: Path, identifier: str = "q0") -> str:
    words = []
    for address in [*(f"v={view}" for view in VIEWS), f"q={identifier}", "v=questions&f=disagree"]:
        opened.open(report, address)
        # The configuration's own words say null for what is not set.
        opened.tab.evaluate("document.getElementById('configuration').textContent = ''")
        words.append(opened.text)
    return "\n".join(words)


@pytest.fixture
def little(tmp_path: Path, hopeval: Any, question: Any) -> Any:
    """A run of so many questions, with one reply for all of each experiment."""

    def make(count: int, replies: dict[str, Any], **fields: Any) -> SmallRun:
        ids = [f"q{i}" for i in range(count)]
        ranked = {
            key: [passage("A", "A is one.", " A is two."), passage("B", "B is one.", " B is two.")] for key in ids
        }
        found = {name: {key: reply for key in ids if reply is not None} for name, reply in replies.items()}
        run = SmallRun(tmp_path / "results", hopeval)
        return run.write([question(key, **fields) for key in ids], ranked, found)

    return make


UNSCORED = {"answer": None, "supporting_facts": None}


@pytest.mark.parametrize(
    ("count", "replies", "fields"),
    [
        (5, {"given.cited.r": answer("Paris", 1, 4)}, {}),
        (1, {"given.cited.r": answer("Paris", 1, 4), "none.cited.r": answer("Rome")}, {}),
        (5, {"given.cited.r": {"error": "down"}, "none.cited.r": {"error": "down"}}, {}),
        (5, {"given.cited.r": None, "none.cited.r": None}, {}),
        (5, {"given.cited.r": "what?", "none.cited.r": "what?"}, {}),
        (12, {"given.cited.r": answer("Paris"), "none.cited.r": answer("Paris"), "gold.cited.r": answer("Paris")}, {}),
        (5, {"given.cited.r": answer("Paris"), "none.cited.r": answer("Rome")}, UNSCORED),
        (5, {"given.cited.r": answer("Paris"), "none.cited.r": answer("Rome")}, {"supporting_facts": None}),
        (5, {"given.cited.r": answer("Paris"), "none.cited.r": answer("!!!")}, {"answer": "The The"}),
    ],
    ids=[
        "one experiment",
        "one question",
        "errors",
        "missing",
        "unparsable",
        "all equal",
        "no gold",
        "no facts",
        "blank gold",
    ],
)
def test_little_is_a_valid_report(page: Any, little: Any, count: int, replies: Any, fields: Any) -> None:
    words = shown_everywhere(page(), little(count, replies, **fields).report())
    for odd in ("NaN", "undefined", "null", "Infinity", "[object"):
        assert odd not in words, odd
    assert f"{count} of {count} question" in words


def test_reasoning_is_shown_apart_from_the_answer(page: Any, little: Any) -> None:
    thought = {"text": answer("Paris"), "finish_reason": "stop", "reasoning": "First <b>A</b>, then B."}
    opened = page().open(little(1, {"given.cited.r": thought}).report(), "q=q0")
    opened.tab.click("summary:has-text('Reasoning')")
    opened.tab.locator("details:has-text('Reasoning') pre").wait_for()
    assert opened.tab.locator("details:has-text('Reasoning') pre").text_content() == "First <b>A</b>, then B."


def test_attempts_journal_and_failures_are_told(page: Any, little: Any) -> None:
    run = little(
        6,
        {
            "given.cited.r": answer("Paris", 1, 4),
            "none.cited.r": {"error": "500: 3 s", "attempts": 4, "retried_for": ["429: wait 7 s"] * 3},
        },
    )
    opened = page().open(run.report(), "v=running")
    tiles = dict(zip(opened.texts(".tiles dt"), opened.texts(".tiles dd"), strict=True))
    assert (tiles["retries"], tiles["errors"], tiles["of them cached"][-1]) == ("18", "6", "%")
    assert opened.texts("th:has-text('429: wait … s') ~ td") == ["0", "18"]
    assert opened.texts("th:has-text('500: … s') ~ td") == ["6", "0"]
    assert "6 requests needed more than one attempt" in opened.text
    assert opened.texts("figure text.alarm") != []
