"""The twelve metrics: worked by hand, against the official script's own numbers, against the definition."""

import doctest
import gzip
import json
import random
import string
from collections import Counter
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopeval.metrics import hotpotqa
from hopeval.metrics.hotpotqa import (
    METRICS,
    mean_scores,
    normalize_answer,
    score_answer,
    score_question,
    score_supporting_facts,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "official_scores_10000.jsonl.gz"
PARTS = ("", "sp_", "joint_")


def test_names_are_the_official_ones_in_the_official_order() -> None:
    assert " ".join(METRICS) == (
        "em f1 prec recall sp_em sp_f1 sp_prec sp_recall joint_em joint_f1 joint_prec joint_recall"
    )


def test_documented_examples() -> None:
    outcome = doctest.testmod(hotpotqa)
    assert outcome.attempted > 0
    assert outcome.failed == 0


# By hand


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("The Beatles", "beatles"),
        ("a an the", ""),
        ("theory of an analyst", "theory of analyst"),  # articles are whole words
        ("1,000.50", "100050"),  # punctuation leaves no gap
        ("rock-a-billy", "rockabilly"),  # punctuation goes before articles
        ("the_end", "theend"),
        ("\u00a0Ed\u2028\u3000Wood\x1f", "ed wood"),  # every kind of blank
        ("\u201cyes\u201d \u2013 no\u2019", "\u201cyes\u201d \u2013 no\u2019"),  # only ASCII punctuation goes
        ("\u0130stanbul", "i\u0307stanbul"),  # lower case may be longer
        ("\u039f\u0394\u039f\u03a3.", "\u03bf\u03b4\u03bf\u03c2"),  # final sigma is decided before "." goes
        ("a\u0301", "\u0301"),  # a decomposed "á" is an article and an accent
        ("\u00e1", "\u00e1"),
        ("a\x00an", "\x00"),  # a control character ends a word, and is no blank
        ("A\u200bthe", "\u200b"),
        ("the\u6771 the \u6771", "the\u6771 \u6771"),
    ],
)
def test_normalize_answer(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ("The Beatles!", "beatles", (1, 1, 1, 1)),
        # 2 of 4 predicted tokens, 2 of 2 gold tokens: 2 * 1/2 * 1 / (3/2) = 2/3
        ("new york new york", "new york", (0, 2 / 3, 1 / 2, 1)),
        # the other way round: 2 of 2, 2 of 4
        ("new york", "new york new york", (0, 2 / 3, 1, 1 / 2)),
        # 1 of 3, 1 of 2: 2 * 1/6 / (5/6) = 2/5
        ("in New York", "York city", (0, 2 / 5, 1 / 3, 1 / 2)),
        # all tokens, wrong order: not exact, all found
        ("york new", "new york", (0, 1, 1, 1)),
        # min(3, 2) of "b" and none of "c": 2 of 4, 2 of 3: 2 * 1/3 / (7/6) = 4/7
        ("b b b c", "b b d", (0, 4 / 7, 1 / 2, 2 / 3)),
        ("dog", "cat", (0, 0, 0, 0)),
        ("1,000", "1000", (1, 1, 1, 1)),
        ("1 000", "1000", (0, 0, 0, 0)),
        # yes, no and noanswer are all or nothing, on either side, and only as the whole answer
        ("YES.", "yes", (1, 1, 1, 1)),
        ("yes", "no", (0, 0, 0, 0)),
        ("yes it is", "yes", (0, 0, 0, 0)),
        ("no", "no one", (0, 0, 0, 0)),
        ("noanswer", "noanswer yet", (0, 0, 0, 0)),
        ("the no", "No!", (1, 1, 1, 1)),
        # "no answer" is two plain tokens: 1 of 2, 1 of 2
        ("no answer", "no one", (0, 1 / 2, 1 / 2, 1 / 2)),
        # nothing is left on both sides: exact, and no token shared
        ("The The", "The The", (1, 0, 0, 0)),
        ("", "!!!", (1, 0, 0, 0)),
        ("", "cat", (0, 0, 0, 0)),
        ("cat", "The", (0, 0, 0, 0)),
        # composed and decomposed are not the same text
        ("Beyonc\u00e9", "Beyonce\u0301", (0, 0, 0, 0)),
        ("Beyonc\u00e9", "beyonc\u00e9", (1, 1, 1, 1)),
    ],
)
def test_score_answer(prediction: str, gold: str, expected: tuple[float, ...]) -> None:
    assert score_answer(prediction, gold) == pytest.approx(expected, abs=1e-15)


A0, A1, B0, B2 = ["A", 0], ["A", 1], ["B", 0], ["B", 2]


@pytest.mark.parametrize(
    ("prediction", "gold", "expected"),
    [
        ([B0, A0], [A0, B0], (1, 1, 1, 1)),
        ([("A", 0)], [A0], (1, 1, 1, 1)),  # tuples or lists
        # 1 of 1, 1 of 2: 2 * 1/2 / (3/2) = 2/3
        ([A0], [A0, B0], (0, 2 / 3, 1, 1 / 2)),
        # 2 of 3, 2 of 2: 2 * 2/3 / (5/3) = 4/5
        ([A0, B0, B2], [A0, B0], (0, 4 / 5, 2 / 3, 1)),
        # a repeated fact is one fact: 1 of 2, 1 of 1
        ([A0, A0, A0, B0], [A0, A0], (0, 2 / 3, 1 / 2, 1)),
        ([A1], [A0], (0, 0, 0, 0)),  # the right title is not enough
        ([["a", 0]], [A0], (0, 0, 0, 0)),  # titles are not normalised
        ([["A", "0"]], [A0], (0, 0, 0, 0)),  # "0" is no sentence index
        ([], [A0], (0, 0, 0, 0)),
        ([A0], [], (0, 0, 0, 0)),
        ([], [], (1, 0, 0, 0)),
    ],
)
def test_score_supporting_facts(prediction: list[Any], gold: list[Any], expected: tuple[float, ...]) -> None:
    assert score_supporting_facts(prediction, gold) == pytest.approx(expected, abs=1e-15)


def test_score_question_multiplies_precision_and_recall() -> None:
    # Answer: 1 of 3 and 1 of 2, F1 2/5. SP: 2 of 3 and 2 of 2, F1 4/5.
    # Joint: 1/3 * 2/3 = 2/9 and 1/2 * 1 = 1/2, F1 2 * 1/9 / (13/18) = 4/13.
    row = score_question("in New York", [A0, B0, B2], "York city", [A0, B0])
    expected = [0, 2 / 5, 1 / 3, 1 / 2, 0, 4 / 5, 2 / 3, 1, 0, 4 / 13, 2 / 9, 1 / 2]
    assert tuple(row) == METRICS
    assert list(row.values()) == pytest.approx(expected, abs=1e-15)


def test_joint_em_needs_both() -> None:
    assert score_question("yes", [A0], "yes", [A0])["joint_em"] == 1
    assert score_question("yes", [A1], "yes", [A0])["joint_em"] == 0
    assert score_question("no", [A0], "yes", [A0])["joint_em"] == 0
    # EM counts where F1 does not: nothing is left of the answer, and it is right.
    row = score_question("The", [A0], "The", [A0])
    assert (row["joint_em"], row["joint_f1"]) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "facts", "gold_facts", "ones"),
    [
        (None, [A0], [A0], {"sp_em", "sp_f1", "sp_prec", "sp_recall"}),
        ("yes", None, [A0], {"em", "f1", "prec", "recall"}),
        ("yes", [A0], None, {"em", "f1", "prec", "recall"}),
        (None, None, [A0], set()),
        (None, None, [], set()),  # missing is not the same as predicted to be empty
        (None, [], [], {"sp_em"}),
    ],
)
def test_a_missing_part_scores_zero_and_so_does_joint(
    answer: str | None, facts: list[Any] | None, gold_facts: list[Any] | None, ones: set[str]
) -> None:
    row = score_question(answer, facts, "yes", gold_facts)
    assert row == {name: float(name in ones) for name in METRICS}


def test_rows_which_questions_share_cannot_be_changed() -> None:
    row: Any = score_question("york", [A0], "new york", [A0])
    with pytest.raises(TypeError):
        row["em"] = 9.0
    assert score_question("york", [A0], "new york", [A0])["em"] == 0


def test_mean_scores_by_hand() -> None:
    rows = [{name: float(value) for name in METRICS} for value in (0, 1, 0.5, 0.25)]
    rows[0]["joint_recall"] = 1.0
    # (0 + 1 + 0.5 + 0.25) / 4 = 0.4375, and with 1 in the place of 0 it is 0.6875
    expected = dict.fromkeys(METRICS, 0.4375) | {"joint_recall": 0.6875}
    assert mean_scores(iter(rows)) == expected


def test_mean_scores_do_not_drift() -> None:
    # Added up one after the other in floats, ten times 0.1 is 0.9999999999999999.
    assert mean_scores([dict.fromkeys(METRICS, 0.1)] * 10) == dict.fromkeys(METRICS, 0.1)


def test_mean_scores_takes_keys_by_name() -> None:
    first = {name: 1.0 if name == "em" else 0.0 for name in METRICS}
    second = {name: first[name] for name in reversed(METRICS)} | {"extra": 9.0}
    assert mean_scores([first, second]) == first


def test_mean_scores_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no questions"):
        mean_scores([])


# The official script's own numbers


def test_equals_the_official_script_on_stored_cases() -> None:
    """Made by running ``hotpot_evaluate_v1.py`` on each case alone; null is a missing prediction."""
    with gzip.open(GOLDEN, "rt", encoding="utf-8", newline="\n") as file:
        cases = [json.loads(line) for line in file]
    assert len(cases) >= 10_000
    for case in cases:
        row = score_question(case["answer"], case["sp"], case["gold_answer"], case["gold_sp"])
        assert list(row.values()) == pytest.approx(case["scores"], abs=1e-12, rel=0), case


# The definition, written down a second time: exact fractions, counted one by one


def by_definition(
    answer: str | None, facts: list[Any] | None, gold_answer: str, gold_facts: list[Any]
) -> list[Fraction]:
    zero = (Fraction(0),) * 4
    of_answer = zero if answer is None else answer_by_definition(answer, gold_answer)
    of_facts = zero if facts is None else facts_by_definition(facts, gold_facts)
    precision, recall = of_answer[2] * of_facts[2], of_answer[3] * of_facts[3]
    harmonic = 0 if not precision * recall else 2 / (1 / precision + 1 / recall)
    return [*of_answer, *of_facts, of_answer[0] * of_facts[0], Fraction(harmonic), precision, recall]


def answer_by_definition(answer: str, gold: str) -> tuple[Fraction, ...]:
    ours, theirs = tokens_by_definition(answer), tokens_by_definition(gold)
    polar = [["yes"], ["no"], ["noanswer"]]
    comparable = ours == theirs or (ours not in polar and theirs not in polar)
    shared = sum(min(ours.count(token), theirs.count(token)) for token in set(ours)) if comparable else 0
    return ratios(ours == theirs, shared, len(ours), len(theirs))


def facts_by_definition(facts: list[Any], gold: list[Any]) -> tuple[Fraction, ...]:
    ours = [fact for at, fact in enumerate(facts) if fact not in facts[:at]]
    theirs = [fact for at, fact in enumerate(gold) if fact not in gold[:at]]
    shared = sum(fact in theirs for fact in ours)
    return ratios(shared == len(ours) == len(theirs), shared, len(ours), len(theirs))


def ratios(exact: bool, shared: int, ours: int, theirs: int) -> tuple[Fraction, ...]:
    """EM, F1, precision, recall; F1 is twice what is shared over all there is (Dice's coefficient)."""
    return (
        Fraction(exact),
        Fraction(2 * shared, max(1, ours + theirs)),
        Fraction(shared, max(1, ours)),
        Fraction(shared, max(1, theirs)),
    )


def tokens_by_definition(text: str) -> list[str]:
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    runs = ["".join(run) for _, run in groupby(kept, key=str.isalnum)]
    return "".join(" " if run in ("a", "an", "the") else run for run in runs).split()


WORDS = "new york The the a AN yes No noanswer 1,000 a-b _a \x00a \u00e9 e\u0301 a\u0301 \u03a3. \u0130 \u212a k"
BLANKS = [" ", " ", " ", "  ", "\t", "\n", "\u00a0", "\u2028", "\u200b", "", "-"]
phrases = st.lists(st.tuples(st.sampled_from(WORDS.split(" ")), st.sampled_from(BLANKS)), max_size=6).map(
    lambda pairs: "".join(word + blank for word, blank in pairs)
)
texts = st.one_of(phrases, phrases, st.text(max_size=12))
fact_lists = st.lists(st.tuples(st.sampled_from(["A", "B", "a", ""]), st.integers(0, 2)), max_size=6)


@given(texts, texts)
@settings(max_examples=6_000, deadline=None)
def test_answers_score_as_defined(answer: str, gold: str) -> None:
    expected = [float(value) for value in answer_by_definition(answer, gold)]
    assert list(score_answer(answer, gold)) == pytest.approx(expected, abs=1e-12, rel=0)


@given(st.none() | texts, st.none() | fact_lists, texts, fact_lists)
@settings(max_examples=4_000, deadline=None)
def test_questions_score_as_defined(
    answer: str | None, facts: list[Any] | None, gold_answer: str, gold_facts: list[Any]
) -> None:
    row = score_question(answer, facts, gold_answer, gold_facts)
    expected = [float(value) for value in by_definition(answer, facts, gold_answer, gold_facts)]
    assert list(row.values()) == pytest.approx(expected, abs=1e-12, rel=0)


# Properties


@given(st.none() | texts, st.none() | fact_lists, texts, fact_lists)
@settings(max_examples=500, deadline=None)
def test_bounds(answer: str | None, facts: list[Any] | None, gold_answer: str, gold_facts: list[Any]) -> None:
    row = score_question(answer, facts, gold_answer, gold_facts)
    assert all(0 <= value <= 1 for value in row.values())
    nothing_to_share = {"": not normalize_answer(gold_answer), "sp_": not gold_facts}
    nothing_to_share["joint_"] = nothing_to_share[""] or nothing_to_share["sp_"]
    for part in PARTS:
        em, f1, prec, recall = (row[part + name] for name in ("em", "f1", "prec", "recall"))
        assert em in (0, 1)
        assert em <= f1 or nothing_to_share[part]
        assert min(prec, recall) - 1e-12 <= f1 <= max(prec, recall) + 1e-12
        assert (f1 == 0) == (prec == 0) == (recall == 0)


@given(texts)
@settings(max_examples=500, deadline=None)
def test_an_answer_is_its_own_exact_match(text: str) -> None:
    em, f1, _, _ = score_answer(text, text)
    assert (em, f1) == (1, 1 if normalize_answer(text) else 0)


@given(texts, texts)
@settings(max_examples=500, deadline=None)
def test_swapping_the_sides_swaps_precision_and_recall(one: str, other: str) -> None:
    there, back = score_answer(one, other), score_answer(other, one)
    assert (there.em, there.prec, there.recall) == (back.em, back.recall, back.prec)
    assert there.f1 == pytest.approx(back.f1, abs=1e-15)


@given(fact_lists, fact_lists, st.randoms(use_true_random=False))
@settings(max_examples=500, deadline=None)
def test_order_and_repetition_of_facts_are_irrelevant(facts: list[Any], gold: list[Any], chance: random.Random) -> None:
    repeated, gold_repeated = facts + facts[:2], gold[:1] + gold
    chance.shuffle(repeated)
    chance.shuffle(gold_repeated)
    assert score_supporting_facts(repeated, gold_repeated) == score_supporting_facts(facts, gold)


@given(st.lists(st.tuples(texts, texts, fact_lists), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_order_of_rows_is_irrelevant(cases: list[Any], chance: random.Random) -> None:
    rows = [score_question(answer, facts, gold, [("A", 0)]) for answer, gold, facts in cases]
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert mean_scores(shuffled) == mean_scores(rows)


def test_stored_cases_hold_what_they_are_for() -> None:
    """Guards the stored cases: each kind that the official script treats in its own way is there often."""
    kinds: Counter[str] = Counter()
    with gzip.open(GOLDEN, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            case = json.loads(line)
            kinds["missing answer"] += case["answer"] is None
            kinds["missing facts"] += case["sp"] is None
            kinds["no facts"] += case["sp"] == []
            kinds["no gold facts"] += case["gold_sp"] == []
            kinds["repeated facts"] += len(set(map(str, case["sp"] or []))) < len(case["sp"] or [])
            kinds["polar"] += normalize_answer(case["gold_answer"]) in ("yes", "no", "noanswer")
            kinds["nothing left"] += not normalize_answer(case["gold_answer"])
            kinds["not ASCII"] += not case["gold_answer"].isascii()
            kinds["partly right"] += any(0 < value < 1 for value in case["scores"][1:4])
            kinds["long"] += len(case["gold_answer"]) > 500
    assert min(kinds.values()) >= 20, kinds
    assert len(kinds) == 10
