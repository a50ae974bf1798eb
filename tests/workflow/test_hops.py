"""A reader that writes the queries of an iterative retriever: hops as works of their own, one journal."""

import csv
import json

import pytest

HOPPING = "own_engines:HoppingEngine"
HOP = "readers/reader/hops/twice-2"
MAKERS = ["Alda", "Berta", "Carl", "Dora", "Emil", "Frida", "Gerd", "Hugo"]


def question(number):
    """A question whose second passage shares no rare word with it."""
    maker, town = MAKERS[number], f"Town {number + 50}"
    return {
        "_id": f"q{number}",
        "question": f"Where was the maker of clock {number + 10} born?",
        "answer": town,
        "type": "bridge",
        "supporting_facts": [[f"Clock {number + 10}", 0], [maker, 0]],
        "context": [
            [f"Clock {number + 10}", [f"Clock {number + 10} was made by {maker}.", " It is blue."]],
            [maker, [f"{maker} was born in {town}."]],
            [f"Spoon {number + 10}", ["A spoon has nothing to do with it.", " Nobody made it."]],
        ],
    }


@pytest.fixture
def hopping(place, fake):
    """Configures a place with an iterative retriever called ``twice`` over bm25."""

    def configure(count=6, *, reader=None, readers=None, retrievers=None, prompts=None, experiments="all", **twice):
        questions = place.folder / "questions.json"
        if not questions.exists():
            questions.write_text(json.dumps([question(number) for number in range(count)]))
        settings = {"kind": "iterative", "of": "bm25", "reader": "reader", "top_k": 2, "passages": 1, **twice}
        place.configure(
            retrievers={"bm25": {"kind": "bm25", "top_k": 2}, "twice": settings, **(retrievers or {})},
            prompts=prompts,
            experiments=experiments,
            reader=fake(HOPPING, **(reader or {})),
            **(readers or {}),
        )
        return place

    return configure


def titles(place, path):
    return [[passage["title"] for passage in context["passages"][:2]] for context in place.read(path)]


def test_each_hop_is_planned_divided_asked_and_merged_like_any_work(hopping):
    place = hopping(hops=3, passages=2)
    plan = place.do("-n")
    assert plan.jobs["infer"] == 3 * 2
    assert (plan.jobs["plan"], plan.jobs["merge"], plan.jobs["queries"], plan.jobs["hop"]) == (3, 3, 2, 2)
    run = place.do()
    assert run.jobs == plan.jobs

    for hop in (2, 3):
        folder = f"readers/reader/hops/twice-{hop}"
        requests = place.read(f"{folder}/requests.jsonl")
        assert [request["question_id"] for request in requests] == [f"q{i}" for i in range(6)]
        assert {tuple(request["experiments"]) for request in requests} == {(f"twice-{hop}",)}
        assert set(place.keys(f"{folder}/responses.jsonl")) == {request["key"] for request in requests}
        assert (place.results / folder / "run.trec").stat().st_size
    # The second hop asks for the maker, and the third sees what both before it found.
    assert [question["text"] for question in place.read(f"{HOP}/questions.jsonl")] == MAKERS[:6]
    (request, *_) = place.read("readers/reader/hops/twice-3/requests.jsonl")
    assert "Alda was born" in request["messages"][-1]["content"]
    assert titles(place, "contexts/twice.jsonl") == [[f"Clock {i + 10}", MAKERS[i]] for i in range(6)]
    metrics = place.read("contexts/twice.metrics.json")
    assert metrics["all_gold_recall@2"] == 1 > place.read("contexts/bm25.metrics.json")["all_gold_recall@2"]
    assert [(hop["hop"], hop["questions"], hop["ok"], hop["prompt_tokens"]) for hop in metrics["hops"]] == [
        ("twice-2", 6, 6, 60),
        ("twice-3", 6, 6, 60),
    ]
    with open(place.results / "leaderboard.csv", newline="") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    took = [rows[f"{name}@2.cited.reader"]["prompt_tokens"] for name in ("bm25", "twice")]
    assert took == ["60", "180"]
    # All in one journal, and nobody is asked twice.
    journal = [
        json.loads(line) for path in (place.results / "readers/reader/journal").glob("*.jsonl") for line in path.open()
    ]
    asked = place.asked()
    assert sorted(asked) == sorted(response["key"] for response in journal)
    assert len(asked) == len(set(asked)) >= 3 * 6
    assert not list((place.results / HOP / "journal").glob("*.jsonl"))
    assert place.read("experiments/twice@2.cited.reader/metrics.json")["em"] == 1
    assert place.do().nothing_to_do
    assert place.asked() == []


def test_a_killed_hop_is_resumed_and_asks_only_what_is_missing(hopping):
    place = hopping(8, reader={"shards": 1, "options": {"crash": 3, "mended": "mended"}})
    run = place.run()
    assert run.code != 0
    first = place.asked()
    assert len(first) == 3
    assert "shard 1-of-1 of reader reader for hop 2 of twice failed" in run.output
    assert "results/tiny/logs/infer/reader/hops/twice-2/1-of-1.log" in run.output
    assert not (place.results / HOP / "responses.jsonl").exists()

    (place.folder / "mended").touch()
    place.do(f"results/tiny/{HOP}/responses.jsonl")
    rest = place.asked()
    assert len(rest) == 5
    assert not set(first) & set(rest)
    assert set(place.keys(f"{HOP}/responses.jsonl")) == {*first, *rest}


def test_without_a_query_the_question_is_searched_for_again_and_counted(hopping):
    odd = {"q1": "no idea", "q2": '{"query": ""}', "q3": '{"query": "Spoon 13"}'}
    place = hopping(4, reader={"options": {"odd": odd}})
    place.do()
    asked = place.read("questions.jsonl")
    searched = [question["text"] for question in place.read(f"{HOP}/questions.jsonl")]
    assert searched == ["Alda", asked[1]["text"], asked[2]["text"], "Spoon 13"]
    (hop,) = place.read("contexts/twice.metrics.json")["hops"]
    assert (hop["ok"], hop["unparsable"], hop["error"], hop["missing"], hop["truncated"]) == (2, 2, 0, 0, 0)
    assert titles(place, "contexts/twice.jsonl")[3] == ["Clock 13", "Spoon 13"]


def test_a_reader_that_only_writes_queries_answers_nothing(hopping, fake, hopeval):
    # A prompt may be called like the retriever.
    prompts = {"cited": None, "twice": {"template": "cited.jinja"}}
    other = fake("own_engines:ReadingEngine")
    place = hopping(4, readers={"other": other}, prompts=prompts, experiments=["twice@2.twice.other"])
    run = place.do()
    assert run.jobs["infer"] == 2 * 2
    assert not (place.results / "readers/reader/requests.jsonl").exists()
    assert set(place.read("provenance.json")["templates"]) == {"twice", "retrievers.twice"}
    status = hopeval("status", place.results)
    assert "reader reader for hop 2 of twice: 2 shards, 2 done" in status
    assert "reader other: 2 shards, 2 done" in status


def test_another_number_of_hops_asks_only_for_the_new_ones(hopping):
    place = hopping(4)
    place.do()
    before = set(place.asked())
    place = hopping(4, hops=3)
    run = place.do("results/tiny/contexts/twice.jsonl")
    assert run.jobs == {"plan": 1, "shard_reader": 1, "infer": 2, "merge": 1, "queries": 1, "hop": 1, "retrieve": 1}
    assert not before & set(place.asked())


def test_two_retrievers_with_one_reader_do_not_wait_for_each_other(place, fake):
    place.questions(4)
    settings = {"kind": "iterative", "of": "bm25", "reader": "reader", "top_k": 2, "passages": 1}
    place.configure(
        retrievers={"bm25": {"kind": "bm25"}, "a": settings, "b": {**settings, "passages": 2}},
        experiments=["a@2.*", "b@2.*"],
        reader=fake(HOPPING, options={"delay_s": 0.5}),
    )
    place.do()
    assert len(place.read("readers/reader/hops/a-2/responses.jsonl")) == 4
    assert len(place.read("readers/reader/hops/b-2/responses.jsonl")) == 4
    logs = [path.read_text() for path in (place.results / "logs/infer/reader/hops").rglob("*.log")]
    assert len(logs) == 4
    assert not any("waiting until it is done or gone" in log for log in logs)


def test_a_retriever_may_be_called_like_the_hop_of_another(place, fake):
    place.questions(4)
    settings = {"kind": "iterative", "reader": "reader", "top_k": 2, "passages": 2, "hops": 3}
    place.configure(
        retrievers={
            "a-2": {"kind": "bm25"},
            "b-2": {"kind": "bm25", "stemmer": None},
            "a": {**settings, "of": "b-2"},
            "b": {**settings, "of": "b-2"},
            "c": {**settings, "of": "a-2"},
        },
        reader=fake(HOPPING),
    )
    hops = "results/tiny/readers/reader/hops"
    plan = place.do("-n", "-p", f"{hops}/c-2/requests.jsonl")
    assert plan.jobs == {"prepare": 1, "index": 1, "retrieve": 1, "plan": 1}
    assert "--contexts a-2=results/tiny/contexts/a-2.jsonl" in plan.output
    # Built on one that is called like its own second hop, it has both.
    run = place.do("-p", f"{hops}/b-3/requests.jsonl")
    both = f"b-2=results/tiny/contexts/b-2.jsonl b.2={hops}/b-2/contexts.jsonl"
    assert f"--contexts {both}" in run.output
    for request in place.read("readers/reader/hops/b-3/requests.jsonl"):
        found = [
            next(each for each in place.read(path) if each["question_id"] == request["question_id"])["passages"][0]
            for path in ("contexts/b-2.jsonl", "readers/reader/hops/b-2/contexts.jsonl")
        ]
        assert all(passage["sentences"][0] in request["messages"][-1]["content"] for passage in found)


def test_one_may_ask_for_a_retriever_that_no_experiment_uses(hopping):
    hub = {"engine": "llamacpp", "model": {"repo": "owner/name", "file": "model.gguf", "revision": "1234"}}
    unused = {"kind": "iterative", "of": "bm25", "reader": "hub"}
    place = hopping(4, readers={"hub": hub}, retrievers={"unused": unused}, experiments=["bm25@2.cited.reader"])
    for name in ("twice", "unused"):
        jobs = place.do("-n", f"results/tiny/runs/{name}.trec").jobs
        assert (jobs["plan"], jobs["queries"], jobs["hop"], jobs["retrieve"]) == (1, 1, 1, 2)
    # Unless one does, nothing is asked and nothing fetched for it.
    assert not {"queries", "hop"} & set(place.do("-n").jobs)
    assert place.do("-n", "prefetch").jobs == {"prepare": 1, "prefetch": 1}


def test_answers_are_no_queries(hopping):
    run = hopping(4).run("-n", "results/tiny/readers/reader/questions.jsonl")
    assert run.code != 0
    assert "MissingRuleException" in run.output
    assert "KeyError" not in run.output
