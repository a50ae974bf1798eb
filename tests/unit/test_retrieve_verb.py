"""The verb ``retrieve``: who gets nothing is told, and what is measured reaches beyond the prompts."""

import json
import sys

import ir_measures
import pytest

from hopeval.__main__ import main
from hopeval.io import read_records, write_records
from hopeval.records import Context, Passage, Question

RETRIEVERS = """
from hopeval.records import Hit, Passage
from hopeval.retrievers.base import Retriever


class Own(Retriever):
    def retrieve(self, questions, depth):
        return [[Hit(self.corpus.id(int(i))) for i in self.settings.options["order"]] for _ in questions]


class TooFew(Own):
    def retrieve(self, questions, depth):
        return super().retrieve(questions, depth)[1:]


class Strings(Own):
    def retrieve(self, questions, depth):
        return [[hit.id for hit in hits] for hits in super().retrieve(questions, depth)]


class Nothing(Own):
    def retrieve(self, questions, depth):
        return None


class Unordered(Own):
    def retrieve(self, questions, depth):
        return [[Hit(self.corpus.id(0), float("nan"))] for _ in questions]


class Unknown(Own):
    def retrieve(self, questions, depth):
        return [[Hit("nowhere")] for _ in questions]


class Numpy(Own):
    def retrieve(self, questions, depth):
        import numpy as np

        scores = np.float32([2.5, 1.5])
        return [[Hit(np.str_(self.corpus.id(i)), score) for i, score in enumerate(scores)] for _ in questions]


class Literal(Own):
    def retrieve(self, questions, depth):
        given = dict(self.settings.options)
        if "passage" in given:
            given["passage"] = Passage(**given["passage"])
        return [[Hit(**given)] for _ in questions]


class Costly(Own):
    asked = []

    def retrieve(self, questions, depth):
        return [[Hit(i) for i in self.kept.get(q.id, list[str], lambda: self.found(q))] for q in questions]

    def found(self, question):
        self.asked.append(question.id)
        if len(self.asked) == self.settings.options["killed_after"]:
            raise KeyboardInterrupt
        return [self.corpus.id(1)]


class Bringing(Own):
    batches = []

    def retrieve(self, questions, depth):
        self.batches.append(len(questions))
        texts = [Passage(id=f"of {q.id}", title="A", sentences=[q.id]) for q in questions]
        return [[Hit(text.id, 1.0, text)] for text in texts]

    def finish(self):
        return {"batches": self.batches}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The kind of one of the retrievers above."""
    (tmp_path / "checked_retrievers.py").write_text(RETRIEVERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: f"checked_retrievers:{name}"
    sys.modules.pop("checked_retrievers", None)


@pytest.fixture
def arguments(tmp_path):
    """Writes questions and passages with these titles: the arguments of retrieve."""

    def make(questions, titles, **settings):
        passages = [Passage(id=str(i), title=t, sentences=[f"Where is {t}?"]) for i, t in enumerate(titles)]
        write_records(tmp_path / "questions.jsonl", questions)
        write_records(tmp_path / "passages.jsonl", passages)
        files = {"questions": "questions.jsonl", "passages": "passages.jsonl"}
        files |= {"output": "contexts.jsonl", "metrics": "metrics.json", "run-file": "run.trec"}
        paths = [part for name, file in files.items() for part in (f"--{name}", tmp_path / file)]
        return ["retrieve", "--retriever", "mine", "--settings", json.dumps(settings), *paths]

    return make


@pytest.fixture
def prepared(tmp_path, arguments, hopeval):
    """The same, with the index made that the retriever needs."""

    def prepare(*data, **settings):
        if settings["kind"] == "bm25":
            given = [*arguments(*data, **settings), "--indexes", f"mine={tmp_path / 'index.json'}"]
            section, corpus = json.dumps(settings), tmp_path / "passages.jsonl"
            index = ["--store", tmp_path / "indexes", "--output", tmp_path / "index.json"]
            hopeval("index", "--retriever", "mine", "--settings", section, "--corpus", corpus, *index)
            return given
        return arguments(*data, **settings)

    return prepare


@pytest.fixture
def retrieve(tmp_path, prepared, hopeval, records):
    """The ranked titles of each question, and the metrics."""

    def run(*data, **settings):
        hopeval(*prepared(*data, **settings))
        contexts = records(tmp_path / "contexts.jsonl")
        titles = [[passage["title"] for passage in context["passages"]] for context in contexts]
        return titles, json.loads((tmp_path / "metrics.json").read_text())

    return run


def test_gold_without_supporting_facts_is_refused(tmp_path, arguments, refused, question):
    said = refused(*arguments([question(supporting_facts=None)], ["A"], kind="gold"))
    assert said.startswith("hopeval retrieve: retrievers.mine: no question of ")
    assert "has supporting facts" in said
    assert "take it out: retrievers: {mine: null}" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "contexts.jsonl").exists()


QRELS = {"q1": {"0": 1, "4": 3, "5": 2, "77": 2}, "q2": {"3": 1}}
"""By id, whatever the titles: passage 2 is called like 0, and 77 is nowhere."""
TITLES = ["A", "B", "A", "C", "D", "D", "E"]
MEASURES = {"mrr": "RR", "map": "AP", "ndcg@10": "nDCG@10", "recall@2": "R@2", "recall@5": "R@5", "recall@10": "R@10"}


def by_trec_eval(qrels, run):
    """The measures as ir-measures has them of a run file."""
    parsed = {name: ir_measures.parse_measure(measure) for name, measure in MEASURES.items()}
    found = ir_measures.calc_aggregate(parsed.values(), qrels, ir_measures.read_trec_run(str(run)))
    return {name: pytest.approx(found[measure]) for name, measure in parsed.items()}


def test_what_is_judged_is_measured_as_trec_eval_does(tmp_path, hopeval, retrieve, own):
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps({"_id": q, "text": q}) + "\n" for q in QRELS))
    (tmp_path / "qrels").mkdir()
    lines = [(q, i, grade) for q, grades in QRELS.items() for i, grade in ({**grades, "2": 0}).items()]
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, line)) for line in lines)]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    hopeval("prepare", "--questions", tmp_path / "qrels" / "test.tsv", "--output", tmp_path / "prepared")
    questions = list(read_records(tmp_path / "prepared" / "questions.jsonl", Question))
    _, metrics = retrieve(questions, TITLES, kind=own("Own"), options={"order": [2, 5, 0, 6, 4, 3]})
    known = by_trec_eval([ir_measures.Qrel(*line) for line in lines], tmp_path / "run.trec")
    assert {name: metrics[name] for name in known} == known
    assert (metrics["recall@10"], metrics["all_gold_recall@10"]) == (pytest.approx((3 / 4 + 1) / 2), 0.5)


def test_what_is_judged_and_not_there_is_counted_and_told(tmp_path, arguments, question, own, capfd):
    asked = [question("q1", relevant=QRELS["q1"]), question("q2", relevant={str(i): 1 for i in range(90, 96)})]
    given = arguments(asked, TITLES, kind=own("Own"), options={"order": [0]})
    assert main(list(map(str, given))) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["judged"], metrics["absent"]) == (2, 7)
    said = capfd.readouterr().err
    assert (
        "warning: 7 relevant passages are not in the corpus; they count as not found:\n  '77' of question 'q1'" in said
    )
    assert said.endswith("'93' of question 'q2'\n  and 2 more\n")


@pytest.mark.parametrize("beneath", [False, True])
def test_what_a_retriever_keeps_is_there_for_the_next_job(tmp_path, arguments, question, own, beneath):
    """Its own, or what one keeps that another is built on and that is searched in the same job."""
    costly = {"kind": own("Costly"), "options": {"killed_after": 6}}
    given = [*arguments([question(f"q{i}") for i in range(12)], TITLES, **costly), "--kept", tmp_path / "kept"]
    if beneath:
        given[given.index("--settings") + 1] = json.dumps({"kind": "hybrid", "of": ["costly", "other"]})
        other = {"kind": own("Own"), "options": {"order": [5]}}
        given += ["--bases", json.dumps({"costly": costly, "other": other})]
    command = list(map(str, given))
    assert main(command) == 130
    assert not (tmp_path / "contexts.jsonl").exists()
    asked = sys.modules["checked_retrievers"].Costly.asked
    assert asked == [f"q{i}" for i in range(6)]
    (tmp_path / "kept" / "q2.json").write_text('[50.0, ["2"]]')
    assert main(command) == 0
    assert asked == [f"q{i}" for i in range(6)] + [f"q{i}" for i in range(5, 12)]
    found = [
        [passage.id for passage in context.passages] for context in read_records(tmp_path / "contexts.jsonl", Context)
    ]
    assert [ids[0] for ids in found] == ["2" if i == 2 else "1" for i in range(12)]
    rate = json.loads((tmp_path / "metrics.json").read_text())["own_speed"]["queries_per_second"]
    assert rate == pytest.approx(11 / 50, abs=0.02), "what the killed job has spent on it counts"


def test_nothing_is_kept_where_no_folder_is_named(tmp_path, arguments, question, own):
    before = set(tmp_path.iterdir())
    given = arguments([question("q")], TITLES, kind=own("Costly"), options={"killed_after": None})
    assert main(list(map(str, given))) == 0
    assert main(list(map(str, given))) == 0
    assert sys.modules["checked_retrievers"].Costly.asked == ["q", "q"]
    made = {path.name for path in set(tmp_path.iterdir()) - before}
    assert "kept" not in made


def test_what_a_retriever_brings_itself_is_not_absent(retrieve, question, own):
    _, metrics = retrieve([question(relevant={"of q1": 1})], TITLES, kind=own("Bringing"))
    assert (metrics["absent"], metrics["recall@1"]) == (0, 1.0)


def test_gold_passages_that_are_judged_come_by_grade(tmp_path, retrieve, records, question):
    _, metrics = retrieve([question(relevant=QRELS["q1"])], TITLES, kind="gold")
    assert [passage["id"] for passage in records(tmp_path / "contexts.jsonl")[0]["passages"]] == ["4", "5", "0"]
    assert metrics["recall@10"] == 3 / 4


def test_gold_with_some_supporting_facts_is_taken(retrieve, question):
    facts = [("A", 0)]
    questions = [question("q1", supporting_facts=facts), question("q2", supporting_facts=None)]
    titles, metrics = retrieve(questions, ["A"], kind="gold")
    assert titles == [["A"], []]
    assert (metrics["judged"], metrics["recall@1"]) == (1, 1.0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("TooFew", "retrieve() gave 0 lists for 1 questions; give one for each"),
        ("Strings", "retrieve() must give lists of Hit: Expected `object`, got `str`"),
        ("Nothing", "retrieve() must give lists of Hit: Expected `array`, got `null`"),
        ("Unordered", "passage '0' has the score nan for question 'q1', which has no place in an order; give a finite"),
    ],
)
def test_retriever_of_ones_own_that_gives_something_else_is_told(
    tmp_path, arguments, refused, question, own, name, words
):
    questions = [question("q1"), question("q2")]
    said = refused(*arguments(questions, ["A", "B"], kind=own(name), options={"order": [0, 1]}))
    assert said.startswith(f"hopeval retrieve: retrievers.mine: {words}")
    assert said.count("\n") == 1
    assert not (tmp_path / "contexts.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"id": 7}, "found the passage 7 for question 'q1'; give its id, a str"),
        ({"id": "0", "score": "high"}, "passage '0' has the score high for question 'q1', which has no place in an"),
        ({"id": "0", "score": None}, "passage '0' has the score None for question 'q1', which has no place in an"),
        (
            {"id": "0", "passage": {"id": "0", "title": "A", "sentences": [1]}},
            "the passage of the hit '0' for question 'q1' is none: Expected `str`, got `int` - at `$.sentences[0]`",
        ),
    ],
)
def test_a_hit_of_ones_own_that_is_none_is_told(tmp_path, arguments, refused, question, own, options, words):
    said = refused(*arguments([question("q1")], ["A"], kind=own("Literal"), options=options))
    assert said.startswith(f"hopeval retrieve: retrievers.mine: {words}")
    assert said.count("\n") == 1
    assert not (tmp_path / "contexts.jsonl").exists()


def test_numbers_and_ids_of_numpy_are_taken(tmp_path, retrieve, records, question, own):
    titles, _ = retrieve([question()], ["A", "B"], kind=own("Numpy"))
    assert titles == [["A", "B"]]
    assert [p["score"] for p in records(tmp_path / "contexts.jsonl")[0]["passages"]] == [2.5, 1.5]
    assert (tmp_path / "run.trec").read_text() == "q1 Q0 0 1 2.5 mine\nq1 Q0 1 2 1.5 mine\n"


def test_metrics_contexts_and_run_are_of_one_ranking(tmp_path, retrieve, question, own):
    # Passages come twice, and there are more than were asked for.
    order = [2, 2, 3, 2, 0, 3, *range(4, 20), 1]
    passages = ["A", "B", *(f"T{i}" for i in range(18))]
    settings = {"kind": own("Own"), "options": {"order": order}, "depth": 10, "top_k": 2}
    titles, metrics = retrieve([question("q1")], passages, **settings)
    run = list(ir_measures.read_trec_run(str(tmp_path / "run.trec")))
    assert [int(line.doc_id) for line in run] == [2, 3, 0, *range(4, 11)]
    assert titles == [[passages[int(line.doc_id)] for line in run]]
    known = by_trec_eval([ir_measures.Qrel("q1", identifier, 1) for identifier in "01"], tmp_path / "run.trec")
    assert {name: metrics[name] for name in known} == known
    assert metrics["mrr"] == pytest.approx(1 / 3)


def test_what_comes_with_the_questions_is_not_cut(retrieve, question):
    titles, metrics = retrieve(
        [question(passages=[str(i) for i in range(120)])], [f"T{i}" for i in range(118)] + ["A", "B"], kind="given"
    )
    assert len(titles[0]) == 120
    assert (metrics["recall@100"], metrics["mrr"], metrics["mrr@10"]) == (0, pytest.approx(1 / 119), 0)


def test_recall_is_told_as_far_as_rankings_reach(retrieve, refused, arguments, question):
    reached = {
        depth: {name for name in retrieve([question()], ["A", "B"], kind="bm25", depth=depth)[1] if "recall@" in name}
        for depth in (10, 20, 99, 100)
    }
    assert "recall@10" in reached[10]
    assert reached[20] - reached[10] == {"recall@20", "all_gold_recall@20"}
    assert reached[99] == reached[20]
    assert reached[100] - reached[99] == {"recall@100", "all_gold_recall@100"}
    said = refused(*arguments([question()], ["A"], kind="bm25", depth=5))
    assert "depth" in said
    assert "10" in said


def test_a_passage_that_is_nowhere_is_told(tmp_path, arguments, refused, question, own):
    said = refused(*arguments([question()], ["A"], kind=own("Unknown")))
    assert "passages.jsonl: no passage has the id 'nowhere'" in said
    assert not (tmp_path / "contexts.jsonl").exists()
    assert not (tmp_path / "run.trec").exists()


def test_questions_come_alone_and_then_in_batches_and_leave_in_order(tmp_path, retrieve, records, question, own):
    questions = [question(f"q{i}") for i in range(513)]
    titles, metrics = retrieve(questions, ["B"], kind=own("Bringing"))
    assert metrics["batches"] == [1] * 10 + [500, 3]
    assert titles == [["A"]] * 513
    contexts = records(tmp_path / "contexts.jsonl")
    assert [context["question_id"] for context in contexts] == [q.id for q in questions]
    # A retriever may bring passages that are nowhere else.
    assert [context["passages"][0]["sentences"] for context in contexts] == [[q.id] for q in questions]
    assert (metrics["judged"], metrics["recall@1"], metrics["recall@100"]) == (513, 0.5, 0.5)
    assert [line.split()[0] for line in (tmp_path / "run.trec").read_text().splitlines()] == [q.id for q in questions]


def test_retriever_of_ones_own_is_measured(retrieve, question, own):
    titles, metrics = retrieve([question()], ["A", "B", "C"], kind=own("Own"), options={"order": [2, 1, 0]})
    assert titles == [["C", "B", "A"]]
    assert (metrics["retriever"], metrics["judged"]) == ("mine", 1)
    assert (metrics["recall@1"], metrics["recall@2"], metrics["recall@5"]) == (0, 1 / 2, 1)
    assert metrics["mrr"] == 1 / 2


def test_measures_reach_deeper_than_prompts(retrieve, question):
    titles, metrics = retrieve([question()], [f"T{i}" for i in range(11)] + ["A", "B"], kind="bm25", top_k=[2])
    assert len(titles[0]) == 10
    assert {"recall@10", "all_gold_recall@10", "ndcg@10", "mrr"} <= set(metrics)
    assert "recall@3" not in metrics
    assert set(retrieve([question()], ["A", "B"], kind="bm25", top_k=3)[1]) - set(metrics) == {
        "recall@3",
        "all_gold_recall@3",
    }


def test_gold_beyond_the_prompts_counts_in_recall_at_10(retrieve, question, own):
    order = [2, 3, 4, 5, 0, 6, 7, 1]
    titles, metrics = retrieve(
        [question()], ["A", "B", *"CDEFGH"], kind=own("Own"), options={"order": order}, top_k=[2]
    )
    assert titles == [[*"CDEFAGHB"]]
    assert (metrics["recall@2"], metrics["recall@5"], metrics["recall@10"]) == (0, 1 / 2, 1)
    assert metrics["ndcg@10"] > 0


def test_contexts_are_as_deep_as_the_deepest_prompt(retrieve, question):
    titles, metrics = retrieve([question()], [f"T{i}" for i in range(20)], kind="bm25", top_k=[2, 12])
    assert len(titles[0]) == 12
    assert {"recall@10", "recall@12"} <= set(metrics)


def test_repeated_titles_take_up_places_as_score_has_it(tmp_path, retrieve, hopeval, write, question, own):
    titles, metrics = retrieve(
        [question()], ["A", "A", "A", "B"], kind=own("Own"), options={"order": [0, 1, 2, 3]}, top_k=[2, 4]
    )
    assert titles == [["A", "A", "A", "B"]]
    predictions = write("predictions.json", {"answer": {"q1": "Paris"}, "sp": {"q1": []}})
    for k, found in ((2, 0.0), (4, 1.0)):
        hopeval(
            *("score", "--questions", tmp_path / "questions.jsonl", "--predictions", predictions, "--top-k", k),
            *("--contexts", tmp_path / "contexts.jsonl", "--output", tmp_path / "scored.json"),
        )
        scored = json.loads((tmp_path / "scored.json").read_text())
        assert (metrics[f"all_gold_recall@{k}"], scored["all_gold_retrieved"]) == (found, found)
    assert (metrics["recall@2"], metrics["recall@4"]) == (1 / 2, 1)
