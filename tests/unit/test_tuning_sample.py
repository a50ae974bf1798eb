"""The sample is balanced whatever one takes of it, and copies are new to an engine, but for what all share."""

import pytest

from hopeval.errors import InputError
from hopeval.io import write_records
from hopeval.records import Message, Request
from hopeval.tuning.sample import copy_key, evenly, feed, pick


@pytest.fixture
def requests(tmp_path):
    def write(lengths, each=2):
        records = [
            Request(
                key=f"{question}-{k}",
                question_id=f"q{question}",
                reader="digest",
                messages=[Message("system", "Answer."), Message("user", f"Passages. Question {question}, {k}?")],
                tokens_estimate=length,
            )
            for question, length in enumerate(lengths)
            for k in range(each)
        ]
        write_records(tmp_path / "requests.jsonl", records)
        return tmp_path / "requests.jsonl"

    return write


@pytest.mark.parametrize("number", [1, 2, 3, 8, 20, 1000])
def test_evenly_is_a_permutation_with_balanced_beginnings(number):
    order = evenly(number)
    assert sorted(order) == list(range(number))
    for first in (4, 8, 16):
        if number >= 4 * first:
            assert abs(sum(order[:first]) / first - (number - 1) / 2) < number / first


def test_all_lengths_are_in_it(requests):
    sample = pick(requests(list(range(1000, 2000))), 8)
    assert [len(chain) for chain in sample] == [2] * 8
    lengths = sorted(chain[0].tokens_estimate for chain in sample)
    assert [round(length - 1000, -1) for length in lengths] == [60, 190, 310, 440, 560, 690, 810, 940]
    assert [r.question_id for chain in sample for r in chain] == [
        q for q in [c[0].question_id for c in sample] for _ in (1, 2)
    ]


def test_no_more_than_there_are(requests):
    assert len(pick(requests([5, 6, 7]), 100)) == 3


def test_the_same_file_gives_the_same_sample(requests):
    path = requests([3, 1, 2, 9, 5])
    assert pick(path, 3) == pick(path, 3)


def test_nothing_to_ask(tmp_path):
    (tmp_path / "requests.jsonl").write_text("")
    with pytest.raises(InputError, match=r"requests\.jsonl: holds no requests; plan them first"):
        pick(tmp_path / "requests.jsonl", 8)


def test_each_job_begins_elsewhere_and_goes_round(requests):
    sample = pick(requests([1, 2, 3, 4]), 4)
    questions = [chain[0].question_id for chain in sample]
    fed = [request.question_id for request in feed(sample, 2, 8)]
    assert fed[::2] == questions[2:] + questions[:2]
    assert fed[::2] == fed[1::2]  # a question's requests stay together


def test_copies_share_the_beginning_that_all_prompts_share_and_no_more(requests):
    sample = pick(requests([1, 2]), 2)
    fed = list(feed(sample, 0, 12))
    assert len({request.key for request in fed}) == 12
    assert [r.key for r in fed] == [copy_key(r.key, n) for n in range(3) for chain in sample for r in chain]
    for original, copy in zip(fed[:4], fed[8:], strict=True):
        assert original.messages[0] == copy.messages[0]
        assert copy.messages[1].content == f"(2) {original.messages[1].content}"
        assert copy.question_id == f"{original.question_id} (2)"
    assert fed[0].messages == sample[0][0].messages


def test_neighbouring_requests_of_a_copy_still_share_their_passages(requests):
    sample = pick(requests([1]), 1)
    first, second = list(feed(sample, 0, 4))[2:]
    assert first.messages[1].content.startswith("(1) Passages.")
    assert second.messages[1].content.startswith("(1) Passages.")
