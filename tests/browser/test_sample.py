"""Each part of the report, in Chromium, on a real run of the sample."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = [f"{name}.cited.smollm2" for name in ("none", "bm25@2", "bm25@5", "gold")]
VIEWS = ["leaderboard", "compare", "failures", "running", "questions", "making"]


@pytest.fixture
def report(sample: Path) -> Path:
    return sample / "report.html"


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def percent(share: str) -> str:
    return f"{100 * float(share):.1f}"


def questions_in(sample: Path, experiment: str) -> list[dict[str, str]]:
    return table(sample / "experiments" / experiment / "questions.csv")


# 1. Leaderboard


def test_the_leaderboard_is_that_of_the_files(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report)
    board = table(sample / "leaderboard.csv")
    assert opened.texts(".board tbody th") == [row["experiment"] for row in board]
    assert [place.rstrip("=") for place in opened.texts(".board .place")] == [row["place"] for row in board]
    shared = [row["place"] for row in board]
    assert [place.endswith("=") for place in opened.texts(".board .place")] == [shared.count(p) > 1 for p in shared]
    assert opened.texts(".board tbody tr td:nth-child(3) .value") == [percent(row["em"]) for row in board]
    low, high = board[0]["em_low"], board[0]["em_high"]
    assert opened.texts(".board tbody td:nth-child(3) small")[0] == f"{percent(low)}–{percent(high)}"
    assert opened.tab.locator(".board .whisker").count() >= 4 * 10
    headings = opened.texts(".board thead .sort")
    assert {"coverage", "all gold", "its loss", "tokens", "tokens/s", "seconds", "cost"} <= set(headings)


def test_columns_sort_and_explain_themselves(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report)
    tab = opened.tab
    names = [row["experiment"] for row in table(sample / "leaderboard.csv")]
    tab.click(".sort:has-text('experiment')")
    assert opened.texts(".board tbody th") == sorted(names)
    tab.click(".sort:has-text('tokens/s')")
    values = [float(v.replace(",", "")) for v in opened.texts(".board tbody td:nth-last-child(3) .value")]
    assert values == sorted(values, reverse=True)
    assert tab.get_attribute("th:has(.sort:has-text('tokens/s'))", "aria-sort") == "descending"
    tab.click(".sort:has-text('tokens/s')")
    assert tab.get_attribute("th:has(.sort:has-text('tokens/s'))", "aria-sort") == "ascending"
    order = opened.texts(".board tbody th")
    tab.reload()
    opened.arrived()
    assert opened.texts(".board tbody th") == order
    opened.go("v=leaderboard")
    assert opened.texts(".board tbody th") == names
    tab.hover(".sort:has-text('nDCG@10')")
    assert "higher ranks worth more" in tab.inner_text("#help")
    tab.focus(".sort:has-text('coverage')")
    assert "any answer" in tab.inner_text("#help")
    tab.keyboard.press("Escape")
    assert tab.is_hidden("#help")


# 2. Compare two


def test_any_two_are_compared_and_their_flips_open(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report, "v=compare")
    a, b = "gold.cited.smollm2", "none.cited.smollm2"
    opened.tab.select_option("label:has-text('A') select >> nth=0", a)
    opened.arrived()
    opened.tab.select_option("label:has-text('B') select >> nth=-1", b)
    opened.arrived()
    found = {(r["a"], r["b"], r["metric"]): r for r in table(sample / "comparisons.csv")}
    row, sign = (found[a, b, "f1"], 1) if (a, b, "f1") in found else (found[b, a, "f1"], -1)
    cells = opened.texts("#compare .scrolls:nth-of-type(2) tbody tr:nth-child(2) td")
    assert cells[2].split()[0] == f"{100 * sign * float(row['difference']):+.1f}".replace("-", "−")
    assert cells[-1] in ("= tie", "◀ A is better", "▶ B is better")
    right = {name: {r["id"] for r in questions_in(sample, name) if r["em"] == "1.0"} for name in (a, b)}
    counts = [int(text) for text in opened.texts("#compare .scrolls:last-of-type td")]
    assert counts == [
        len(right[a] & right[b]),
        len(right[a] - right[b]),
        len(right[b] - right[a]),
        8 - len(right[a] | right[b]),
    ]
    opened.click("#compare .scrolls:last-of-type tbody tr:nth-child(1) td:nth-child(3) a")
    assert opened.found == len(right[a] - right[b])
    shown = opened.tab.eval_on_selector_all(".list a.row", "rows => rows.map(row => row.hash)")
    assert {identifier for link in shown for identifier in right[a] - right[b] if f"q={identifier}" in link} == right[
        a
    ] - right[b]
    opened.tab.go_back()
    opened.arrived()
    assert opened.tab.input_value("label:has-text('A') select >> nth=0") == a


# 3. Where it fails


def test_every_cell_of_the_matrix_opens_its_questions(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report, "v=failures&e=bm25%402.cited.smollm2")
    cells = [row["cell"] for row in questions_in(sample, "bm25@2.cited.smollm2")]
    links = opened.tab.eval_on_selector_all(".matrix td a", "links => links.map(a => [a.hash, Number(a.textContent)])")
    assert sum(number for _, number in links) == 8
    for link, number in links:
        cell = link.partition("cell%3A")[2].replace("%2F", "/")
        assert number == cells.count(cell)
        opened.go(link.lstrip("#"))
        assert opened.found == number
    opened.go("v=failures&e=bm25%402.cited.smollm2")
    assert "points of EM" in opened.text
    assert {"type", "level", "gold passages", "answer"} <= set(opened.texts("#failures thead th:first-child"))
    assert opened.tab.get_by_role("img", name="Recall at k of each retriever").count() == 1


def test_recall_is_that_of_the_file(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report, "v=failures")
    opened.tab.click("text=The numbers >> nth=0")
    rows = opened.texts("details[open] tbody tr")
    for shown, row in zip(rows, table(sample / "recall.csv"), strict=True):
        assert shown.split()[:3] == [row["retriever"], f"@{row['k']}", percent(row["recall"])]


# 4. How it ran


def spelled(seconds: float) -> str:
    """A latency as the page writes it: on a busy machine it may be of any length."""
    if seconds < 99.5:
        return f"{seconds:.{2 if seconds < 10 else 1}f} s"
    return f"{round(seconds) // 60} min {round(seconds) % 60} s"


def test_how_it_ran(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report, "v=running")
    responses = records(sample / "readers" / "smollm2" / "responses.jsonl")
    tiles = dict(zip(opened.texts(".tiles dt"), opened.texts(".tiles dd"), strict=True))
    assert tiles["requests"] == str(len(responses))
    assert tiles["tokens in"] == f"{sum(r['prompt_tokens'] for r in responses):,}"
    assert (tiles["from the journal"], tiles["errors"], tiles["retries"]) == ("0", "0", "0")
    assert opened.tab.locator("figure .job").count() == 2  # shards
    assert opened.tab.get_by_role("img", name="2 jobs over time, by host and device").count() == 1
    slowest = max(response["latency_s"] for response in responses)
    assert opened.texts("#running h3:has-text('Slowest') + .scrolls td")[0] == spelled(slowest)
    opened.click("#running h3:has-text('Slowest') + .scrolls a >> nth=0")
    assert opened.tab.locator(".card").count() == 4


# 5. The questions


def test_search_and_filters_narrow_the_list(page: Any, report: Path, sample: Path) -> None:
    experiment = "bm25@2.cited.smollm2"
    opened = page().open(report, f"v=questions&e={experiment.replace('@', '%40')}")
    rows = questions_in(sample, experiment)
    assert opened.found == 8
    for name, meant in {
        "right": [row for row in rows if row["em"] == "1.0"],
        "wrong": [row for row in rows if row["cell"].endswith("/wrong")],
        "missed": [row for row in rows if not row["cell"].startswith("all/")],
        "near": [row for row in rows if row["near_miss"]],
    }.items():
        opened.tab.click(f"#chips [data-filter='{name}']")
        assert opened.found == len(meant)
        assert opened.tab.get_attribute(f"#chips [data-filter='{name}']", "aria-pressed") == "true"
    opened.tab.click("#chips [data-filter='']")
    opened.tab.select_option("label:has-text('Type') select", "comparison")
    assert opened.found == sum(row["type"] == "comparison" for row in rows)
    opened.tab.select_option("label:has-text('Type') select", "")
    opened.tab.keyboard.press("Escape")
    opened.tab.fill("#search", rows[0]["question"].split()[-1].upper())
    assert opened.found == sum(rows[0]["question"].split()[-1].lower() in row["question"].lower() for row in rows)
    assert opened.texts(".list .text")[0] == rows[0]["question"]
    opened.tab.fill("#search", "no such word anywhere")
    assert opened.found == 0
    assert "Take a filter or a word" in opened.text


def test_experiments_that_disagree(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report, "v=questions&f=disagree")
    right = [{row["id"]: row["em"] == "1.0" for row in questions_in(sample, name)} for name in EXPERIMENTS]
    assert opened.found == sum(len({found[key] for found in right}) > 1 for key in right[0])


def test_one_question_shows_all_there_is(page: Any, report: Path, sample: Path) -> None:
    experiment = "bm25@5.cited.smollm2"
    question = records(sample / "questions.jsonl")[2]
    opened = page().open(report, f"q={question['id']}&e={experiment.replace('@', '%40')}")
    assert opened.texts("#question h1") == [question["text"]]
    assert question["answer"] in opened.tab.inner_text(".gold-answer")
    assert sorted(opened.texts(".card h3")) == sorted(EXPERIMENTS)
    request = next(
        r for r in records(sample / "readers" / "smollm2" / "requests.jsonl")
        if r["question_id"] == question["id"] and experiment in r["experiments"]
    )  # fmt: skip
    response = next(
        r for r in records(sample / "readers" / "smollm2" / "responses.jsonl") if r["key"] == request["key"]
    )
    card = opened.tab.locator(".card", has_text=experiment)
    assert card.locator("pre").first.text_content() == response["text"]
    card.get_by_text("Exact prompt").click()
    card.locator(".role").first.wait_for()
    shown = card.locator("details.long pre").all_text_contents()
    assert shown == [message["content"] for message in request["messages"]]
    assert card.locator("details.long .role").all_text_contents() == [m["role"] for m in request["messages"]]
    card.get_by_text("Timing and tokens").click()
    assert f"{response['prompt_tokens']:,} in" in card.inner_text()
    assert_passages(opened, sample, question, experiment)


def assert_passages(opened: Any, sample: Path, question: Any, experiment: str) -> None:
    """In rank order, with gold and cited sentences marked, and a cut where the prompt ends."""
    context = next(c for c in records(sample / "contexts" / "bm25.jsonl") if c["question_id"] == question["id"])
    titles = opened.tab.eval_on_selector_all(".passage h3", "all => all.map(h => h.childNodes[1].textContent)")
    assert titles == [passage["title"] for passage in context["passages"]]
    assert opened.tab.locator(".passage.out").count() == len(titles) - 5
    predicted = next(
        p
        for p in records(sample / "experiments" / experiment / "predictions.jsonl")
        if p["question_id"] == question["id"]
    )
    gold = {tuple(fact) for fact in question["supporting_facts"]}
    cited = {tuple(fact) for fact in predicted.get("supporting_facts", [])}
    for rank, passage in enumerate(context["passages"]):
        shown = opened.tab.locator(".passage").nth(rank).locator(".sentences li")
        for i, text in enumerate(passage["sentences"]):
            fact = (passage["title"], i)
            marks = "★" * (fact in gold) + "◆" * (fact in cited and rank < 5)
            words = shown.nth(i).text_content()
            assert words.endswith(text)
            assert words.startswith(marks)
            assert ("★" in words, "◆" in words) == (fact in gold, "◆" in marks)


def test_keys_lead_to_the_neighbours_and_back(page: Any, report: Path, sample: Path) -> None:
    ids = [question["id"] for question in records(sample / "questions.jsonl")]
    opened = page().open(report, f"q={ids[1]}&e=gold.cited.smollm2")
    assert "2 of 8" in opened.text
    opened.press("ArrowRight")
    assert f"q={ids[2]}" in opened.address
    opened.press("ArrowLeft").press("ArrowLeft")
    assert f"q={ids[0]}" in opened.address
    opened.press("Escape")
    assert opened.found == 8
    opened.tab.keyboard.press("/")
    assert opened.tab.evaluate("document.activeElement.id") == "search"
    opened.tab.focus(".list")
    opened.tab.keyboard.press("ArrowDown")
    opened.tab.keyboard.press("ArrowDown")
    opened.press("Enter")
    assert f"q={ids[1]}" in opened.address


def test_an_address_restores_what_one_saw(page: Any, report: Path) -> None:
    opened = page().open(report, "v=questions&e=none.cited.smollm2")
    opened.tab.fill("#search", "born")
    opened.tab.click("#chips [data-filter='wrong']")
    before, number = opened.texts(".list .text"), opened.found
    colleague = page()
    colleague.open(report, opened.address.removeprefix("#"))
    assert (colleague.texts(".list .text"), colleague.found) == (before, number)
    assert colleague.tab.input_value("#search") == "born"
    assert colleague.tab.input_value("label:has-text('in') select >> nth=0") == "none.cited.smollm2"
    opened.click(".list a.row >> nth=0")
    steps, title = opened.texts(".steps"), opened.texts("#question h1")
    opened.tab.reload()
    opened.arrived()
    assert (opened.texts(".steps"), opened.texts("#question h1")) == (steps, title)
    assert f"1 of {number}" in steps[0]


def test_no_such_question(page: Any, report: Path) -> None:
    assert "No such question" in page().open(report, "q=%3Cimg%20src%3Dx%3E").text


# 6. How it was made


def test_how_it_was_made(page: Any, report: Path, sample: Path) -> None:
    opened = page().open(report, "v=making")
    made = json.loads((sample / "provenance.json").read_text())
    assert "snakemake --cores all --configfile mine.yaml" in opened.tab.inner_text("#commands")
    assert "max_questions: 8" in opened.tab.inner_text("#configuration")
    for digest in (made["models"]["smollm2"]["fingerprint"], made["templates"]["cited"]["sha256"]):
        assert digest in opened.text
    opened.tab.click("summary:has-text('packages')")
    assert "snakemake" in opened.text
    opened.tab.click(".copy >> nth=0")
    assert opened.texts(".copy")[0] == "Copied"


# For everyone


@pytest.mark.parametrize("width", [400, 1440, 2000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_and_passes_axe(page: Any, report: Path, sample: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # axe makes script elements of its own, which the page's policy forbids.
    opened = page(width, color_scheme=scheme, bypass_csp=True)
    question = records(sample / "questions.jsonl")[0]["id"]
    for address in [*(f"v={view}" for view in VIEWS), f"q={question}&e=bm25%402.cited.smollm2"]:
        opened.open(report, address)
        assert not opened.overflows, address
        violations = axe.run(opened.tab).response["violations"]
        serious = [v for v in violations if v["impact"] in ("serious", "critical")]
        assert [(address, v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in serious] == []


def test_colours_follow_the_system_and_ones_choice(page: Any, report: Path) -> None:
    def background(opened: Any) -> str:
        return opened.tab.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = page(color_scheme="light").open(report), page(color_scheme="dark").open(report)
    assert background(light) != background(dark)
    light.tab.click("#theme")  # from the system's to light
    light.tab.click("#theme")  # to dark
    assert background(light) == background(dark)
    assert light.tab.get_attribute("#theme", "aria-label") == "Colours: dark"
    light.tab.reload()
    light.arrived()
    assert background(light) == background(dark)
    dark.tab.emulate_media(color_scheme="light")
    dark.tab.wait_for_selector("[data-theme=light]", state="attached")
    assert background(dark) != background(light)


def test_print_is_dark_on_white_and_without_controls(page: Any, report: Path) -> None:
    opened = page(color_scheme="dark").open(report, "v=compare")
    opened.tab.emulate_media(media="print")
    assert opened.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert opened.tab.is_hidden("nav")
    assert opened.tab.is_hidden(".choice")
    assert opened.tab.is_visible("#compare table >> nth=0")
    assert len(opened.tab.pdf()) > 10_000


def test_everything_is_reached_by_keyboard(page: Any, report: Path) -> None:
    opened = page().open(report)
    reached = []
    for _ in range(12):
        opened.tab.keyboard.press("Tab")
        reached.append(opened.tab.evaluate("document.activeElement.textContent.trim().slice(0, 30)"))
    assert reached[0] == "Skip to the content"
    assert {"Leaderboard", "Compare two", "Where it fails", "How it ran", "Questions", "How it was made"} <= set(
        reached
    )
    opened.tab.focus("nav a >> nth=3")
    opened.press("Enter")
    # Who listens is told what is shown now.
    assert opened.tab.evaluate("document.activeElement.textContent") == "How it ran"
    assert opened.tab.title().startswith("How it ran")
