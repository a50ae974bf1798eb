"""Iterative retrieval without a reader: what it is planned from, how replies become queries, how hops become one."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.config import parse_config, parse_retriever
from hopeval.errors import ConfigError, InputError
from hopeval.hops import interleaved
from hopeval.io import write_records
from hopeval.parsing import parse_query
from hopeval.passages import PassageStore
from hopeval.prompts import Template, query_schema
from hopeval.records import STATUSES, Context, Hit, Message, Passage, Question, RankedPassage, Request, Response
from hopeval.retrievers.bases import with_bases
from hopeval.runs import RunWriter

PROMPTS = Path(__file__).parents[2] / "workflow" / "prompts"
ITERATIVE = {"kind": "iterative", "of": "bm25", "reader": "r"}


# Replies


@pytest.mark.parametrize(
    ("text", "output", "query"),
    [
        ('{"query": "Shirley Temple"}', "json", "Shirley Temple"),
        ('Sure! ```json\n{"query": " Shirley "}\n```', "json", "Shirley"),
        ('{"query": "first"} {"query": "second"}', "json", "first"),
        ('{"query": "in JSON all the same"}', "text", "in JSON all the same"),
        ("Shirley Temple", "text", "Shirley Temple"),
        ("She played her.\nQuery: Shirley Temple office", "text", "Shirley Temple office"),
        ('**Next query:** "Shirley"\n\nQuestion: another?\nQuery: made up', "text", "Shirley"),
        ("The search query is: Shirley", "text", "Shirley"),
        ("\n\nSearch: Shirley Temple \n", "text", "Shirley Temple"),
    ],
)
def test_a_query_is_read_in_any_dress(text: str, output: str, query: str) -> None:
    assert parse_query(text, output, "stop") == (query, "ok")
    assert parse_query(text, output, None) == (query, "ok")


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("", "json"),
        ("Shirley Temple", "json"),
        ('{"query": ""}', "json"),
        ('{"query": 7}', "json"),
        ('{"answer": "Shirley"}', "json"),
        ("", "text"),
        ("Query:", "text"),
        ("two lines\nwithout a mark", "text"),
    ],
)
def test_nothing_is_guessed_into_a_query(text: str, output: str) -> None:
    assert parse_query(text, output, "stop") == (None, "unparsable")


@pytest.mark.parametrize("output", ["json", "text"])
def test_half_a_query_is_none(output: str) -> None:
    whole = '{"query": "Shirley Temple"}'
    for end in range(len(whole)):
        assert parse_query(whole[:end], output, "length") == (None, "truncated")
    assert parse_query(whole, output, "length") == ("Shirley Temple", "ok")
    assert parse_query("Query: Shirley Tem", "text", "length") == (None, "truncated")
    assert parse_query("Query: Shirley Temple\nQuestion: wha", "text", "length") == ("Shirley Temple", "ok")


@given(st.text(), st.sampled_from(["json", "text"]), st.sampled_from(["stop", "length", None]))
def test_any_reply_is_a_query_or_has_a_reason(text: str, output: str, finish_reason: str | None) -> None:
    query, status = parse_query(text, output, finish_reason)
    assert (query is None) == (status != "ok")
    assert status in ("ok", "truncated", "unparsable")
    assert query is None or query.strip()


# The verb


@pytest.fixture
def queries(tmp_path: Path, hopeval: Any, refused: Any, records: Any) -> Any:
    """Runs the verb over a question each for these replies: texts searched for, and counts."""

    def run(*replies: Response | str | None, schema: bool = True, hop: str = "twice-2", fails: bool = False) -> Any:
        asked = [Question(id=f"q{i}", text=f"question {i}", supporting_facts=[("A", 0)]) for i in range(len(replies))]
        form = query_schema() if schema else None
        requests = [Request(key=q.id, question_id=q.id, messages=[Message("user", "?")], schema=form) for q in asked]
        for request in requests:
            request.experiments.append("twice-2")
        responses = [
            Response(key=q.id, text=reply, finish_reason="stop", prompt_tokens=3) if isinstance(reply, str) else reply
            for q, reply in zip(asked, replies, strict=True)
            if reply is not None
        ]
        files = {"questions": asked, "requests": requests, "responses": responses[::-1]}
        for name, content in files.items():
            write_records(tmp_path / f"{name}.jsonl", content)
        arguments = [part for name in files for part in (f"--{name}", tmp_path / f"{name}.jsonl")]
        output = ["--output", tmp_path / "next.jsonl", "--counts", tmp_path / "counts.json"]
        if fails:
            return refused("queries", "--hop", hop, *arguments, *output)
        run.printed = hopeval("queries", "--hop", hop, *arguments, *output)
        return records(tmp_path / "next.jsonl", Question), json.loads((tmp_path / "counts.json").read_text())

    return run


def test_each_question_gets_its_query_or_stays_as_it_is_and_that_is_counted(queries: Any) -> None:
    failed = Response(key="q2", error="refused")
    cut = Response(key="q4", text='{"query": "A', finish_reason="length", prompt_tokens=3)
    asked, counts = queries('{"query": "A b"}', "chatter", failed, None, cut)
    assert [q.text for q in asked] == ["A b", "question 1", "question 2", "question 3", "question 4"]
    assert [q.id for q in asked] == [f"q{i}" for i in range(5)]
    assert all(q.gold_titles == ["A"] for q in asked)  # it is measured like the question
    expected = dict.fromkeys(STATUSES, 1) | {"hop": "twice-2", "questions": 5}
    assert counts == expected | {"prompt_tokens": 9, "completion_tokens": 0, "cached_tokens": 0}
    assert queries.printed == "twice-2: 1 queries; 4 questions searched for again for want of one\n"


def test_replies_in_text_are_read_as_text(queries: Any) -> None:
    (question,), counts = queries("Query: A b", schema=False)
    assert (question.text, counts["ok"]) == ("A b", 1)


def test_requests_of_another_hop_are_refused(queries: Any) -> None:
    assert "no request of " in queries("x", hop="twice-3", fails=True)


# Planning


def test_a_hop_is_planned_from_all_hops_before_it(tmp_path: Path, hopeval: Any, records: Any, question: Any) -> None:
    def found(*titles: str) -> Context:
        passages = [RankedPassage(id=t, title=t, sentences=[f"{t} is one."]) for t in titles]
        return Context(question_id="q1", retriever="any", passages=passages)

    write_records(tmp_path / "questions.jsonl", [question("q1")])
    write_records(tmp_path / "first.jsonl", [found("A", "B", "C")])
    write_records(tmp_path / "second.jsonl", [found("D", "A", "E")])
    prompts = {"next": {"template": str(PROMPTS / "next_query.jinja"), "output": "json", "asks": "query"}}
    hop = {"twice-3": {"retriever": ["bm25", "twice-2"], "top_k": 3, "prompt": "next"}}
    hopeval(
        *("plan", "--reader", "r", "--settings", json.dumps({"engine": "my:Engine", "context_window": 1000})),
        *("--prompts", json.dumps(prompts), "--experiments", json.dumps(hop)),
        *("--questions", tmp_path / "questions.jsonl", "--output", tmp_path / "requests.jsonl"),
        *("--contexts", f"bm25={tmp_path / 'first.jsonl'}", f"twice-2={tmp_path / 'second.jsonl'}"),
    )
    (request,) = records(tmp_path / "requests.jsonl", Request)
    assert request.schema == query_schema()
    assert request.experiments == ["twice-3"]
    lines = request.messages[-1].content.splitlines()
    assert [line for line in lines if line.endswith(" is one.")] == ["A is one.", "D is one.", "B is one."]
    assert lines[-1] == "Question: Where is q1?"


def test_the_prompt_shows_a_passage_as_title_and_text() -> None:
    passages = [Passage(id="a", title="A & B", sentences=["One.", " Two."])]
    prompt = Template(PROMPTS / "next_query.jinja").render("Who?", passages)
    assert prompt.messages[-1].content == "A & B\nOne. Two.\n\nQuestion: Who?"
    assert [message.role for message in prompt.messages] == ["system", *("user", "assistant") * 2, "user"]
    for example in prompt.messages[2:5:2]:
        assert parse_query(example.content, "json", "stop").status == "ok"


# Putting together


def test_rankings_are_interleaved() -> None:
    rankings = [[Hit(i) for i in ids] for ids in ("abc", "da", "xyzq")]
    assert "".join(hit.id for hit in interleaved(rankings)) == "adxbyczq"
    assert interleaved([]) == []
    assert interleaved([[], [Hit("a")]]) == [Hit("a")]


@given(st.lists(st.lists(st.integers(0, 9), unique=True)))
def test_interleaving_loses_nothing_and_keeps_each_order_among_equals(rankings: list[list[int]]) -> None:
    merged = [hit.id for hit in interleaved([[Hit(str(i)) for i in ids] for ids in rankings])]
    assert sorted(merged) == sorted({str(i) for ids in rankings for i in ids})
    best = {i: min(ids.index(int(i)) for ids in rankings if int(i) in ids) for i in merged}
    assert [best[i] for i in merged] == sorted(best.values())


@pytest.fixture
def twice(tmp_path: Path) -> Any:
    """An iterative retriever over run files with these rankings."""
    write_records(tmp_path / "p.jsonl", [Passage(id=i, title=i, sentences=[]) for i in "abcdef"])
    store = PassageStore(tmp_path / "p.jsonl")

    def make(*rankings: str, hops: int) -> Any:
        paths = [tmp_path / f"{number}.trec" for number in range(1, len(rankings) + 1)]
        for path, ids in zip(paths, rankings, strict=True):
            with RunWriter(path, "run") as run:
                run.write("q", [Hit(i, 1 / (rank + 1)) for rank, i in enumerate(ids)])
        sections = {"twice": parse_retriever({**ITERATIVE, "hops": hops}), "bm25": parse_retriever({"kind": "bm25"})}
        later = {f"hop {number}": path for number, path in enumerate(paths[1:], 2)}
        return with_bases("twice", sections, store, store, {}, {"bm25": paths[0]}, later)

    return make


def test_hops_become_one_ranking(twice: Any) -> None:
    (hits,) = twice("abc", "da", "e", hops=3).on_runs.retrieve([Question(id="q", text="?")], 5)
    assert [(hit.id, hit.score) for hit in hits] == [("a", 1), ("d", 1 / 2), ("e", 1 / 3), ("b", 1 / 4), ("c", 1 / 5)]
    (none,) = twice("", "", hops=2).on_runs.retrieve([Question(id="q", text="?")], 5)
    assert none == []


def test_it_cannot_search_for_other_questions(twice: Any) -> None:
    with pytest.raises(InputError, match=r"asks the reader 'r' between its searches.*take what it is built on, 'bm25'"):
        twice("abc", "da", hops=3).on_runs.retrieve([Question(id="q", text="?")], 5)
    with pytest.raises(InputError, match="can search for no other question"):
        twice("abc", "da", hops=2).open().retrieve([Question(id="other", text="?")], 5)


# The configuration


def config(**retrievers: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "d", "questions": "q.json"},
        "retrievers": {"bm25": {"kind": "bm25"}, **retrievers},
        "prompts": {"cited": {"template": "cited.jinja"}},
        "readers": {"smollm2": {"engine": "my:Engine"}, "r": {"engine": "my:Engine"}},
    }


def told(**retrievers: Any) -> str:
    with pytest.raises(ConfigError) as error:
        parse_config(config(**retrievers))
    return str(error.value)


def test_an_iterative_section_has_its_defaults() -> None:
    settings = parse_config(config(twice=ITERATIVE)).retrievers["twice"]
    assert (settings.hops, settings.passages, settings.top_k) == (2, 5, 5)
    assert settings.prompt.model_dump() == {"template": "next_query.jinja", "output": "json"}


def test_a_reader_that_is_none_is_told() -> None:
    said = told(twice={**ITERATIVE, "reader": "smolm2"})
    assert "retrievers.twice.reader: found 'smolm2' (did you mean 'smollm2'?); must be the name of a reader; " in said
    assert "there are: smollm2, r" in said


@pytest.mark.parametrize("kind", ["two-hop", "iterative"])
@pytest.mark.parametrize(
    ("beneath", "of", "deaf"),
    [
        ({"own": {"kind": "given"}}, "own", "own (given)"),
        ({"theirs": {"kind": "run", "file": "r.trec"}}, "theirs", "theirs (run)"),
        ({"twice": ITERATIVE}, "twice", "twice (iterative)"),
        ({"gold": {"kind": "gold"}, "both": {"kind": "hybrid", "of": ["bm25", "gold"]}}, "both", "gold (gold)"),
    ],
)
def test_what_makes_queries_rests_on_what_searches(kind: str, beneath: dict[str, Any], of: str, deaf: str) -> None:
    more = {"reader": "r"} if kind == "iterative" else {}
    said = told(**beneath, hops={"kind": kind, "of": of, **more})
    assert f"retrievers.hops.of: found {of!r}, but {deaf} cannot search for further queries; name a retriever" in said


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("hops", 1, "hops: found 1"), ("hops", 11, "hops: found 11"), ("passages", 11, "passages: found 11")],
)
def test_numbers_out_of_range_are_told(key: str, value: int, words: str) -> None:
    assert words in told(twice={**ITERATIVE, key: value})
