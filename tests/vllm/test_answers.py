"""What one engine answers: every answer kept as it comes, held to its schema, with its tokens counted."""

import re

import msgspec
import pytest

from hopeval.parsing import parse
from hopeval.prompts import answer_schema

PASSAGES = "".join(
    f"[{number}] House {number} is a building in Helsinki that Alvar Aalto designed in {1900 + number}. "
    for number in range(1, 12)
)
SENTENCES = {str(number): (f"House {number}", 0) for number in range(1, 12)}
CHAINS, LENGTH = 4, 3


@pytest.fixture(scope="module")
def job(shard):
    return shard(max_failures=1, sampling={"max_tokens": 60})


def schema():
    """The schema of a short answer, so that it ends before the tokens do."""
    found = answer_schema(11)
    found["properties"]["answer"]["maxLength"] = 20
    found["properties"]["supporting_facts"] |= {"minItems": 1, "maxItems": 3}
    return found


@pytest.fixture(scope="module")
def requests(ask):
    """Chains that each begin with the same passages, and one prompt that no window of 1,024 tokens holds."""
    asked = [
        ask(
            f"q{chain}",
            f"Chain {chain}. {PASSAGES}{'Aalto was an architect. ' * number}Who designed House 3? "
            "Answer as JSON, and cite sentences.",
            schema=schema(),
        )
        for chain in range(CHAINS)
        for number in range(LENGTH)
    ]
    return [*asked, ask("long", "word " * 1200), ask("last", "Count from 1 to 1000: 1, 2, 3,")]


@pytest.fixture(scope="module")
def answered(job, requests):
    """The finished job, and its responses by question."""
    ended = job.run(requests, OMP_NUM_THREADS="2")
    assert ended.code == 0, ended.words
    return ended, job.responses()


def test_every_request_is_answered_in_its_place(answered, requests):
    ended, responses = answered
    assert [response.key for response in responses] == [request.key for request in requests]
    assert "vllm ready after" in ended.words
    assert re.search(r"^shard 1-of-1: 13 answered, 0 from the journal, 1 failed, ", ended.words, re.MULTILINE)


def test_a_prompt_beyond_the_window_fails_alone(answered):
    failed = {response.key: response.error for response in answered[1] if response.error is not None}
    (error,) = failed.values()
    assert "1024" in error
    assert failed.keys() == {answered[1][CHAINS * LENGTH].key}
    assert "the others are kept" not in answered[0].words  # max_failures allows one


def test_answers_held_to_their_schema_parse(answered):
    for response in answered[1][: CHAINS * LENGTH]:
        parsed = parse(response.text, "json", SENTENCES, response.finish_reason)
        assert (response.finish_reason, parsed.status, parsed.unknown_labels) == ("stop", "ok", 0)
        # The spacing of llama.cpp's grammar: no model wastes tokens on blanks.
        assert re.fullmatch(r'{"answer": ".*", "supporting_facts": \[\d+(, \d+)*\]}', response.text)
        assert set(msgspec.json.decode(response.text)["supporting_facts"]) <= set(range(1, 12))


def test_tokens_are_counted(answered):
    last = answered[1][-1]
    assert (last.finish_reason, last.completion_tokens) == ("length", 60)
    assert last.text
    assert last.reasoning == ""
    assert all(0 < r.completion_tokens <= 60 for r in answered[1] if r.error is None)
    assert {(r.engine, r.shard, *r.devices) for r in answered[1]} == {("vllm", "1-of-1")}


def test_what_a_chain_has_in_common_is_computed_once(answered):
    for chain in range(CHAINS):
        _, *later = answered[1][chain * LENGTH : (chain + 1) * LENGTH]
        # Blocks of 32 tokens, and all but the last of the shared ones.
        assert all(response.cached_tokens > 200 for response in later)
        assert all(response.cached_tokens < response.prompt_tokens for response in later)


def test_each_answer_is_kept_as_it_comes(job, answered):
    kept = job.journaled()
    moments = [line["at"] for line in kept]
    assert moments == sorted(moments)
    # Two are computed at once (max_num_seqs), so that no two thirds of the answers can be of one moment.
    assert len(set(moments)) > len(kept) * 2 / 3


def test_chains_are_answered_in_order(job, answered, requests):
    order = [line["key"] for line in job.journaled()]
    for chain in range(CHAINS):
        of_chain = [request.key for request in requests if request.question_id == f"q{chain}"]
        assert [key for key in order if key in of_chain] == of_chain


def test_nothing_is_left(job, answered):
    assert job.gone()
    assert "Traceback" not in answered[0].words
