"""What the page is made of: texts that cannot end a script, prompts without their passages, jobs told from calls."""

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.prompts import Template
from hopeval.records import Passage
from hopeval.report.calls import Asked, Call, attempts, cost, kinds, latencies, tally, usage
from hopeval.report.embed import Blocks, json_text, packed
from hopeval.report.page import write
from hopeval.report.skeleton import Sentence, filled, skeleton
from small_run import SmallRun, answer, passage

PROMPTS = Path(__file__).parents[2] / "workflow" / "prompts"
texts = st.text(st.characters(), max_size=40)


def unpacked(text: str) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text), -zlib.MAX_WBITS))


# Data in a page


@given(st.recursive(texts | st.integers() | st.floats(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_json_in_a_script_element_cannot_end_it(value: Any) -> None:
    text = json_text(value)
    assert not set("<>&\u2028\u2029") & set(text)
    json.loads(text, parse_constant=pytest.fail)


def test_what_goes_in_comes_out() -> None:
    value = {"a": ["</script><!-- \u2028 é 😀", 1.5, None], "b": "x" * 10_000}
    assert json.loads(json_text(value)) == value
    assert unpacked(packed(value)) == value


def test_half_a_character_and_no_number_are_replaced() -> None:
    assert unpacked(packed(["a\ud83db", float("inf")])) == ["a?b", None]
    assert json.loads(json_text({"x": [float("nan")]})) == {"x": [None]}


def test_blocks_hold_so_many_items_each() -> None:
    blocks = Blocks("q", 3)
    found = [block for item in range(7) for block in blocks.add(item)] + list(blocks.close())
    assert [(name, unpacked(text)) for name, text in found] == [("q0", [0, 1, 2]), ("q1", [3, 4, 5]), ("q2", [6])]
    assert list(blocks.close()) == []


# Prompts


@pytest.mark.parametrize("template", ["cited.jinja", "plain.jinja"])
@given(st.lists(st.tuples(texts, st.lists(texts, max_size=3)), max_size=4), texts)
def test_a_skeleton_gives_the_exact_prompt_back(template: str, found: list[tuple[str, list[str]]], asked: str) -> None:
    passages = [Passage(id="", title=title, sentences=sentences) for title, sentences in found]
    sentences = [Sentence(text.strip(), title) for title, own in found for text in own]
    for message in Template(PROMPTS / template).render(asked, passages).messages:
        marked = skeleton(message.content, sentences, asked)
        if marked is not None:
            assert filled(marked, sentences, asked) == message.content


def test_a_skeleton_holds_no_text_of_the_passages() -> None:
    passages = [Passage(id="", title="Loch Ness", sentences=["It is deep.", " It is cold."])]
    sentences = [Sentence("It is deep.", "Loch Ness"), Sentence("It is cold.", "Loch Ness")]
    *_, last = Template(PROMPTS / "cited.jinja").render("How deep?", passages).messages
    marked = skeleton(last.content, sentences, "How deep?")
    assert marked == "\ue001\n[\ue002] \ue000\n[\ue002] \ue000\n\nQuestion: \ue003"


def test_a_prompt_with_marks_of_its_own_has_no_skeleton() -> None:
    assert skeleton("a \ue000 b", [], "?") is None


# Calls


def call(key: str, shard: str, start: float, latency: float = 1.0, job: float = 0.0, **fields: Any) -> Call:
    at = f"2026-01-01T00:{int((start + latency) // 60):02d}:{(start + latency) % 60:06.3f}+00:00"
    return Call(key, shard=shard, queue_s=start - job, latency_s=latency, at=at, **fields)


def test_jobs_are_told_apart_by_shard_host_and_start() -> None:
    first = [call("a", "1-of-2", 2), call("b", "1-of-2", 3), call("c", "2-of-2", 2, host="other")]
    later = [call("d", "1-of-2", 42, job=40), call("e", "1-of-2", 43.5, job=40, error="failed")]
    found = attempts([*later, *first])
    assert [(job.shard, job.answers, job.errors, job.journal) for job in found] == [
        ("1-of-2", 2, 0, True),
        ("2-of-2", 1, 0, False),
        ("1-of-2", 1, 1, False),
    ]
    assert found[0].first_call - found[0].started == pytest.approx(2)
    assert found[2].ended - found[2].first_call == pytest.approx(2.5)
    assert tally([*later, *first])["journal_hits"] == 2


def test_another_number_of_shards_found_the_old_answers_in_the_journal() -> None:
    found = attempts([call("a", "1-of-2", 1), call("b", "2-of-2", 1), call("c", "3-of-4", 61, job=60)])
    assert [job.journal for job in found] == [True, True, False]


def test_seconds_side_by_side_count_once() -> None:
    calls = [call("a", "1-of-1", 0, 4), call("b", "1-of-1", 1, 2), call("c", "1-of-1", 10, 3)]
    answers = [Call(c.key, completion_tokens=7, **{k: getattr(c, k) for k in ("latency_s", "at")}) for c in calls]
    found = usage(Asked(answers))
    assert (found["busy_s"], found["tokens_per_s"], found["cost"]) == (7.0, 3.0, None)
    assert usage(Asked(answers[:1]), Asked(answers[1:])) == found
    assert usage(Asked([], {"prompt": 1.0, "completion": 1.0})) == {
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens"), 0),
        **{"busy_s": 0.0, "tokens_per_s": None, "cost": 0.0},
    }


def test_cached_tokens_cost_what_others_do_unless_they_have_a_price() -> None:
    assert cost(1_000_000, 0, 400_000, {"prompt": 2.0, "completion": 9.0, "cached": None}) == 2.0
    assert cost(1_000_000, 0, 400_000, {"prompt": 2.0, "completion": 9.0, "cached": 0.0}) == 1.2


def test_readers_cost_what_each_asks_for() -> None:
    answer, query = Call("a", prompt_tokens=1_000_000), Call("b", prompt_tokens=3_000_000)
    one, two = ({"prompt": price, "completion": 0.0} for price in (1.0, 2.0))
    assert usage(Asked([answer], one), Asked([query], two))["cost"] == 7.0
    assert usage(Asked([answer]), Asked([query], two))["cost"] == 6.0
    assert usage(Asked([answer]), Asked([query]))["cost"] is None


def test_errors_are_counted_by_their_kind() -> None:
    reasons = ["429: wait 3 s", "429: wait 5.5 s", "no answer within 600 s", "503: wait 3 s", "4290 of 'x' left"]
    assert kinds(reasons) == {
        **{"429: wait … s": 2, "no answer within … s": 1},
        **{"503: wait … s": 1, "… of … left": 1},
    }
    assert latencies([]) == {}


# Scripts


def test_modules_import_what_others_before_them_export() -> None:
    exported: dict[str, set[str]] = {}
    for name in write.MODULES:
        source = (write.FOLDER / f"{name}.js").read_text(encoding="utf-8")
        for names, module in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', source, re.MULTILINE):
            assert {found.strip() for found in names.split(",")} <= exported[module], (
                f"{name}.js imports of {module}.js"
            )
        assert source.count("\nimport ") + source.startswith("import ") == len(
            re.findall(r"^import \{", source, re.MULTILINE)
        )
        exported[name] = {
            found for _, found in re.findall(r"^export (async function|function|const) (\w+)", source, re.M)
        }
    assert {path.stem for path in write.FOLDER.glob("*.js")} == set(write.MODULES)


def test_no_script_makes_markup_of_text() -> None:
    for path in write.FOLDER.glob("*.js"):
        source = path.read_text(encoding="utf-8")
        for sink in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "fetch(",
        ):
            assert sink not in source, f"{path.name}: {sink}"


# The page


@pytest.fixture
def run(tmp_path: Path, hopeval: Any, question: Any) -> SmallRun:
    replies = {"given.cited.r": {"q1": answer("Paris", 1, 4)}, "none.cited.r": {"q1": answer("Rome")}}
    ranked = {"q1": [passage("A", "A is one.", " A is two."), passage("B", "B is one.", " B is two.")]}
    return SmallRun(tmp_path / "results", hopeval).write([question("q1")], ranked, replies)


def test_the_policy_allows_this_script_and_nothing_else(run: SmallRun) -> None:
    page = run.report().read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_passages_are_in_the_page_when_asked_for(run: SmallRun) -> None:
    def passages(*more: str) -> Any:
        page = run.report(*more).read_text(encoding="utf-8")
        block = re.search(r'id="p0">([^<]*)<', page)
        assert block
        return unpacked(block[1])

    whole = [["A", ["A is one.", " A is two."]], ["B", ["B is one.", " B is two."]]]
    assert passages() == whole
    assert passages("--passages", "all") == whole
    assert passages("--passages", "none") == [["A", 2], ["B", 2]]


def test_a_report_needs_a_run(tmp_path: Path, refused: Any) -> None:
    assert "leaderboard.csv: not there; run snakemake first" in refused("report", "--results", tmp_path)


@pytest.mark.parametrize("name", ["007", "1e5", "true"])
def test_a_name_may_look_like_a_number(tmp_path: Path, hopeval: Any, question: Any, name: str) -> None:
    ranked = {"q1": [passage("A", "A is one.")]}
    run = SmallRun(tmp_path / "results", hopeval).write([question("q1")], ranked, {f"{name}.cited.r": {"q1": "Paris"}})
    page = run.report().read_text(encoding="utf-8")
    summary = re.search(r'id="summary">([^<]*)<', page)
    assert summary
    assert {row["retriever"] for row in json.loads(summary[1])["recall"]} == {name}


def test_files_of_two_runs_are_told(run: SmallRun, refused: Any) -> None:
    (run.folder / "contexts" / "given.jsonl").write_text("")
    message = refused("report", "--results", run.folder)
    assert "contexts: has nothing more where question 'q1' is due; run snakemake again" in message
    assert not (run.folder / "report.html").exists()
