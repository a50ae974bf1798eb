"""Requests to shards and back: nothing lost, no chain split, work balanced."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hopeval.__main__ import main
from hopeval.commands.shard import Chain, assign
from hopeval.io import read_records, write_records
from hopeval.records import Message, Request, Response

chains_of_tokens = st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=4), max_size=25)


def requests_of(chains: list[list[int]]) -> list[Request]:
    return [
        Request(key=f"{i}/{j}", question_id=f"q{i}é", messages=[Message("user", "x" * (i % 7))], tokens_estimate=tokens)
        for i, chain in enumerate(chains)
        for j, tokens in enumerate(chain)
    ]


def shard(folder: Path, requests: list[Request], count: int) -> list[list[Request]]:
    write_records(folder / "requests.jsonl", requests)
    paths = [folder / f"{i}-of-{count}.jsonl" for i in range(1, count + 1)]
    assert main(["shard", "--requests", str(folder / "requests.jsonl"), "--output", *map(str, paths)]) == 0
    return [list(read_records(path, Request)) for path in paths]


@settings(max_examples=50)  # each writes files
@given(chains_of_tokens, st.integers(1, 8))
def test_shards_hold_each_chain_whole_once_and_in_order(chains: list[list[int]], count: int) -> None:
    requests = requests_of(chains)
    with tempfile.TemporaryDirectory() as folder:
        shards = shard(Path(folder), requests, count)
        assert shard(Path(folder), requests, count) == shards  # the same each time
    place = {request.key: at for at, request in enumerate(requests)}
    assert sorted((r for part in shards for r in part), key=lambda r: place[r.key]) == requests
    for part in shards:
        places = [place[request.key] for request in part]
        assert places == sorted(places)
    homes = [{r.question_id for r in part} for part in shards]
    assert sum(map(len, homes)) == len(set().union(*homes)) == len(chains)
    assert sum(1 for part in shards if part) == min(count, len(chains))


@given(st.lists(st.integers(0, 5000), max_size=40), st.integers(1, 8))
def test_work_is_balanced_as_longest_first_guarantees(tokens: list[int], count: int) -> None:
    shards = assign([Chain(i, 1, n) for i, n in enumerate(tokens)], count)
    loads = [sum(chain.tokens for chain in part) for part in shards]
    # Graham 1969: at most 4/3 - 1/(3m) of the best, which is no less than the mean and the longest chain. By the
    # weaker bound that needs no best: the heaviest exceeds the lightest by no more than the longest chain.
    assert max(loads) - min(loads) <= max(tokens, default=0)
    assert max(loads) <= sum(tokens) / count + max(tokens, default=0) * (1 - 1 / count)


def test_chains_without_tokens_spread_out_too() -> None:
    assert [len(part) for part in assign([Chain(i, 1, 0) for i in range(7)], 3)] == [3, 2, 2]


@settings(max_examples=50)
@given(chains_of_tokens.filter(bool), st.integers(1, 8), st.randoms(use_true_random=False))
def test_shard_then_merge_is_the_identity_on_keys(chains: list[list[int]], count: int, random: Any) -> None:
    requests = requests_of(chains)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for i, part in enumerate(shard(folder, requests, count)):
            random.shuffle(part)
            paths.append(folder / f"responses{i}.jsonl")
            write_records(paths[-1], [Response(key=request.key, text=f"é {request.key}") for request in part])
        arguments = ["--requests", str(folder / "requests.jsonl"), "--output", str(folder / "out.jsonl")]
        assert main(["merge", *arguments, "--responses", *map(str, paths)]) == 0
        merged = list(read_records(folder / "out.jsonl", Response))
    assert sorted(r.key for r in merged) == sorted(r.key for r in requests)
    assert all(response.text == f"é {response.key}" for response in merged)


def test_a_bad_request_is_named_with_its_line(tmp_path: Path, write: Any, refused: Any) -> None:
    for line, said in (
        (b'{"question_id": 3}\n', "at `$.question_id`"),
        (b'{"question_id": "\xff"}\n', "invalid start byte"),
    ):
        path = write("requests.jsonl", b'{"question_id": "q1"}\n' + line)
        message = refused("shard", "--requests", path, "--output", tmp_path / "1.jsonl")
        assert f"{path}:2: " in message
        assert said in message
        assert not (tmp_path / "1.jsonl").exists()


def test_chunks_of_an_earlier_division_are_taken_back(write, hopeval, tmp_path):
    requests = write("requests.jsonl", lines=[{"question_id": "a"}, {"question_id": "b"}])
    folder = tmp_path / "shards"
    old = [folder / f"{i}-of-3.jsonl" for i in (1, 2, 3)]
    new = [folder / f"{i}-of-2.jsonl" for i in (1, 2)]
    for paths in (old, new):
        hopeval("shard", "--requests", requests, "--journal", tmp_path / "journal", "--output", *paths)
    assert sorted(folder.iterdir()) == new
