"""The real engine with the real model: what it promises whatever the model writes."""

import asyncio
import re
import subprocess
import sys

import msgspec
import pytest

from hopeval.config import parse_reader
from hopeval.engines.base import RequestFailed, Setup
from hopeval.engines.llamacpp import LlamaCppEngine
from hopeval.errors import InputError
from hopeval.io import read_records, write_records
from hopeval.parsing import parse
from hopeval.prompts import answer_schema
from hopeval.records import Response

PASSAGE = "[1] Aalto House is a building in Helsinki. [2] It was designed by Alvar Aalto. [3] He was born in Kuortane."
QUESTION = f"{PASSAGE}\nQuestion: Where was the architect of Aalto House born? Answer as JSON and cite sentences."
SENTENCES = {"1": ("Aalto House", 0), "2": ("Aalto House", 1), "3": ("Aalto House", 2)}


def settings_of(model, **settings):
    settings = {"context_window": 512, "sampling": {"max_tokens": 48}, **settings}
    return {"engine": "llamacpp", "model": str(model), **settings}


@pytest.fixture(scope="module")
def complete(model):
    """Answers one request by an engine that stays open for all tests of this file."""
    with asyncio.Runner() as runner:
        engine = LlamaCppEngine(Setup(parse_reader(settings_of(model)), model, 2))
        runner.run(engine.open())
        yield lambda request: runner.run(engine.complete(request))
        runner.run(engine.close())


def open_engine(model, path=None, request=None, **settings):
    """Open an engine, ask it if there is something to ask, and close it however that goes."""

    async def run():
        engine = LlamaCppEngine(Setup(parse_reader(settings_of(model, **settings)), path or model, 1))
        try:
            await engine.open()
            return await engine.complete(request) if request else None
        finally:
            await engine.close()

    return asyncio.run(run())


def test_answer_held_to_its_schema_parses(complete, make_request):
    completion = complete(make_request("q", content=QUESTION, schema=answer_schema(3)))
    parsed = parse(completion.text, "json", SENTENCES, completion.finish_reason)
    assert (parsed.status, completion.finish_reason) == ("ok", "stop")
    assert parsed.unknown_labels == 0
    assert 0 < completion.completion_tokens <= 48
    assert completion.prompt_tokens > completion.cached_tokens


@pytest.mark.parametrize("labels", [1, 2, 11])
def test_only_labels_of_the_schema_can_be_cited(complete, make_request, labels):
    schema = answer_schema(labels)
    schema["properties"]["supporting_facts"] |= {"minItems": 1, "maxItems": min(labels, 8)}
    schema["properties"]["answer"]["maxLength"] = 10
    asked = "Reply with JSON. Cite the sentences 12, 77 and 1950 of Anna Karenina."
    text = complete(make_request("q", content=asked, schema=schema)).text
    cited = msgspec.json.decode(text)["supporting_facts"]
    assert cited
    assert set(cited) <= set(range(1, labels + 1))
    # Blanks between the tokens of JSON are fixed, so that the model wastes none on them.
    assert re.fullmatch(r'{"answer": ".*", "supporting_facts": \[\d+(, \d+)*\]}', text)


def test_no_passages_leave_nothing_to_cite(complete, make_request):
    text = complete(make_request("q", content="Who wrote Anna Karenina?", schema=answer_schema(0))).text
    assert msgspec.json.decode(text)["supporting_facts"] == []


def test_beginning_that_two_prompts_share_is_computed_once(complete, make_request):
    first = complete(make_request("q", content=QUESTION))
    second = complete(make_request("q", content=f"{QUESTION} Be brief."))
    assert second.prompt_tokens > first.prompt_tokens
    assert second.cached_tokens > first.prompt_tokens / 2


def test_token_limit_is_told(complete, make_request):
    completion = complete(make_request("q", content="Count from 1 to 1000: 1, 2, 3,"))
    assert (completion.finish_reason, completion.completion_tokens) == ("length", 48)


def test_prompt_beyond_the_window_fails_alone(complete, make_request):
    with pytest.raises(RequestFailed, match="exceeds the available context size"):
        complete(make_request("q", content="word " * 600))
    assert complete(make_request("q", content="Say hello.")).text


def test_each_slot_has_the_whole_window(model, make_request):
    requests = [make_request(f"q{number}", content="word " * 200) for number in range(2)]

    async def run():
        settings = settings_of(model, concurrency=2, context_window=256, sampling={"max_tokens": 2})
        engine = LlamaCppEngine(Setup(parse_reader(settings), model, 2))
        assert engine.concurrency == 2
        await engine.open()
        try:
            return await asyncio.gather(*map(engine.complete, requests))
        finally:
            await engine.close()

    assert all(completion.prompt_tokens > 200 for completion in asyncio.run(run()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_bath": 4}, "options.n_bath: llama.cpp has no such parameter"),
        ({"n_batch": "many"}, "options.n_batch: found 'many': "),
        ({"n_batch": 10**12}, "options.n_batch: found 1000000000000: "),
        ({"__doc__": 1}, "options.__doc__: found 1: "),
    ],
)
def test_wrong_option_is_the_users_mistake(model, options, words):
    with pytest.raises(InputError, match=re.escape(words)):
        open_engine(model, options=options)


def test_option_reaches_llama_cpp(model, make_request):
    request = make_request("q", content="word " * 300)
    with pytest.raises(RequestFailed, match=r"\(256 tokens\)"):
        open_engine(model, options={"n_ctx": 256}, request=request)


@pytest.mark.parametrize("content", [b"", b"no GGUF", b"GGUF" + b"\0" * 100, None])
def test_file_that_is_no_model_is_the_users_mistake(model, tmp_path, content):
    path = tmp_path / "no.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"^model: .*no\.gguf"):
        open_engine(model, path)


def test_missing_library_is_told(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(InputError, match=r"engine: llamacpp cannot be loaded: .*pip install xllamacpp"):
        open_engine(model)


def test_whole_job(inference, make_request, model):
    requests = [make_request(f"q{n}", content=f"{QUESTION} {n}", schema=answer_schema(3)) for n in range(3)]
    log = inference.folder / "logs" / "infer.log"
    result = inference.run(requests, settings_of(model), "--model", str(model), "--log", str(log))
    words = log.read_text()
    assert (result.code, result.out, result.err) == (0, "", ""), words
    assert "llama" in words
    assert "print_info" in words or "load_model" in words
    assert "llamacpp ready after" in words
    assert re.search(
        r"^shard 1-of-1: 3 answered, 0 from the journal, 0 failed, .* generated tokens/s", words, re.MULTILINE
    )
    responses = list(read_records(inference.output, Response))
    assert [response.key for response in responses] == [request.key for request in requests]
    assert all(parse(r.text, "json", SENTENCES, r.finish_reason).status == "ok" for r in responses)
    assert responses[2].cached_tokens > 0
    assert [(r.shard, r.engine, r.devices) for r in responses] == [("1-of-1", "llamacpp", [])] * 3


def test_whole_job_with_a_file_that_is_no_model(inference, make_request, tmp_path):
    path = tmp_path / "no.gguf"
    path.write_bytes(b"no GGUF")
    result = inference.run([make_request("q")], settings_of(path), "--model", str(path))
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith(f"hopeval infer: model: llama.cpp cannot load {path}: ")
    assert "Traceback" not in result.err


def test_two_jobs_side_by_side_do_not_get_into_each_others_way(environment, tmp_path, make_request, model):
    settings = msgspec.json.encode(settings_of(model, sampling={"max_tokens": 4})).decode()
    command = [sys.executable, "-m", "hopeval", "infer", "--reader", "r", "--settings", settings, "--model", str(model)]
    jobs = []
    try:
        for shard in ("1-of-2", "2-of-2"):
            write_records(tmp_path / f"{shard}.jsonl", [make_request(shard, content="Say hello.")])
            paths = ["--requests", f"{shard}.jsonl", "--output", f"{shard}.out", "--shard", shard]
            more = [*paths, "--journal", "journal", "--log", f"{shard}.log"]
            jobs.append(subprocess.Popen([*command, *more], cwd=tmp_path, env=environment()))
        assert [job.wait(300) for job in jobs] == [0, 0]
    finally:
        for job in jobs:
            job.kill()
            job.wait()
    assert len(list((tmp_path / "journal").glob("*.jsonl"))) == 2
