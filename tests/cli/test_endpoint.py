"""infer at an OpenAI-compatible endpoint that fails in every way there is: what is asked again, what is told."""

import random
import re
import socket

import pytest

from endpoint import (
    Endpoint,
    answer_to,
    answers,
    at,
    breaks_off,
    completion,
    drips,
    error,
    first,
    hangs,
    http_date,
    redirects,
    refuses,
    resets,
    says,
    stays_open,
    streams,
    streams_only,
    takes_formats,
    zips,
)

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
FULL = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."


def assert_all_answered(result, requests):
    assert result.code == 0, result.err
    assert result.err == ""
    assert [(r.key, r.text) for r in result.responses] == [(q.key, answer_to(q.messages[0].content)) for q in requests]
    assert result.lines == len(requests)


def test_a_good_endpoint(infer, who):
    requests = who(20)
    with Endpoint() as endpoint:
        result = infer(endpoint, requests)
    assert_all_answered(result, requests)
    assert sorted(endpoint.questions()) == sorted(request.messages[0].content for request in requests)
    assert endpoint.calls[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": endpoint.calls[0].question}],
        "temperature": 0.0,
        "max_tokens": 128,
        "seed": 0,
    }
    (response,) = {(r.prompt_tokens, r.completion_tokens, r.finish_reason, r.attempts) for r in result.responses}
    assert response == (12, 5, "stop", 1)


def test_options_add_to_the_body_and_null_takes_out_of_it(infer, who):
    with Endpoint() as endpoint:
        infer(endpoint, who(1), options={"max_tokens": None, "max_completion_tokens": 64, "reasoning_effort": "low"})
    body = endpoint.calls[0].body
    assert "max_tokens" not in body
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (64, "low")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refuses(429, "slow down"), id="429"),
        pytest.param(refuses(500, "out of order"), id="500"),
        pytest.param(refuses(503, "loading"), id="503"),
        pytest.param(refuses(408), id="408"),
        pytest.param(refuses(409), id="409"),
        pytest.param(hangs, id="no answer"),
        pytest.param(drips, id="endless body"),
        pytest.param(resets, id="reset in the middle of the body"),
        pytest.param(says(b'{"choices": [{"mess'), id="invalid JSON"),
        pytest.param(says(b"<html>welcome</html>"), id="no JSON"),
        pytest.param(says({"choices": []}), id="no choice"),
        pytest.param(says(error("upstream is down", 502)), id="passing error that came as a success"),
        pytest.param(says(b"\x1f\x8bnot gzip", content_encoding="gzip"), id="gzip that is none"),
        pytest.param(breaks_off, id="stream that breaks off"),
        pytest.param(answers("Kuor", "error"), id="finish_reason error"),
    ],
)
def test_what_may_pass_is_asked_again(infer, who, fault):
    requests = who(6)
    with Endpoint(first(3, fault)) as endpoint:
        result = infer(endpoint, requests, timeout_s=3.0 if fault in (hangs, drips) else 60.0)
    assert_all_answered(result, requests)
    assert len(endpoint.calls) == len(requests) + 3
    assert "asking again after" in result.out


@pytest.mark.parametrize("value", [lambda: "1", lambda: "1.2", lambda: http_date(2)], ids=["s", "parts", "date"])
def test_retry_after_is_obeyed(infer, who, value):
    requests = who(1)
    with Endpoint(lambda call: refuses(429, retry_after=value()) if call.number == 1 else None) as endpoint:
        result = infer(endpoint, requests)
    assert_all_answered(result, requests)
    assert endpoint.calls[1].at - endpoint.calls[0].at >= 1.0


def test_retry_after_in_the_past_or_in_riddles_is_none(infer, who):
    values = ["-5", "soon", http_date(-3600), "nan", ""]
    requests = who(1)
    with Endpoint(
        lambda call: refuses(429, retry_after=values[call.number - 1]) if call.number < 6 else None
    ) as endpoint:
        result = infer(endpoint, requests, attempts=6)
    assert_all_answered(result, requests)


def test_a_server_that_fails_for_ever_ends_the_job_with_its_reason_and_keeps_what_was_answered(infer, who):
    requests = who(40)
    with Endpoint(lambda call: refuses(500, "disk full") if call.number > 10 else None) as endpoint:
        result = infer(endpoint, requests, give_up_s=0.5, attempts=1000)
    assert result.code == 1
    assert re.search(r"no answer for \d+ s \(give_up_s\), only failures; the last: 500: disk full", result.err)
    assert (len(result.kept), result.responses) == (10, None)

    with Endpoint() as endpoint:
        result = infer(endpoint, requests)
    assert_all_answered(result, requests)
    assert len(endpoint.calls) == 30


def test_a_fault_of_one_request_costs_that_request(infer, who):
    requests = who(12)
    with Endpoint(at("q5?", refuses(400, FULL, "context_length_exceeded"))) as endpoint:
        result = infer(endpoint, requests)
    assert result.code == 1
    assert f"question 'q5': 400: {FULL}" in result.err
    assert result.errors == {"q5": f"400: {FULL}"}
    assert len(result.kept) == 11


def test_a_fault_of_the_first_request_costs_that_request(infer, who):
    requests = who(12, schema=SCHEMA)
    with Endpoint(at("q0?", refuses(400, FULL))) as endpoint:
        result = infer(endpoint, requests, concurrency="auto", max_failures=1)
    assert result.code == 0, result.err
    assert list(result.errors) == ["q0"]
    assert {call.format for call in endpoint.calls if "q0?" not in call.question} == {"json_schema"}


def test_error_that_came_as_a_success(infer, who):
    with Endpoint(at("q1?", says(error("flagged", 403)))) as endpoint:
        result = infer(endpoint, who(3), max_failures=1)
    assert (result.code, result.errors) == (0, {"q1": "flagged"})


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (None, "there is no such model or address; it lists other (404: The model `m` does not exist.)"),
        (refuses(400, "The model `m` does not exist", "model_not_found"), "there is no such model or address"),
        (refuses(400, "Model Not Exist"), "the first 10 requests were all refused, the last for: 400: Model Not Exist"),
        (refuses(402, "Insufficient Balance"), "the account has no credit left (402: Insufficient Balance)"),
        (refuses(429, "You exceeded your quota", "insufficient_quota"), "the account has no credit left (429: You"),
        (refuses(422, "seed: extra inputs"), "the first 10 requests were all refused, the last for: 422: seed: extra"),
        (redirects, "leads elsewhere (308); put into base_url what fits of http://127.0.0.1:"),
    ],
)
def test_what_no_request_can_pass_is_told_once_before_many_are_sent(infer, who, refusal, said):
    models = ("other",) if refusal is None else ("m",)
    with Endpoint(lambda call: refusal, models=models) as endpoint:
        result = infer(endpoint, who(300))
    assert result.code == (1 if said.startswith("the first") else 2)
    assert said in result.err
    assert result.err.count("\n") == 1
    assert len(endpoint.calls) <= 40
    assert result.kept == {}


@pytest.mark.parametrize("at_models", [True, False], ids=["at once", "at the first request"])
def test_key_that_is_refused_is_told_without_it(infer, who, monkeypatch, at_models):
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    repeats = refuses(401, "x" * 266 + " Incorrect API key provided: sk-very-secret.", "invalid_api_key")
    with Endpoint(lambda call: repeats, key="sk-right" if at_models else None) as endpoint:
        result = infer(endpoint, who(100), api_key_env="MY_KEY")
    assert result.code == 2
    assert "the key was refused; is it right, and not expired?" in result.err
    assert "correct the environment variable MY_KEY" in result.err
    assert len(endpoint.calls) <= 8
    assert "sk-" not in result.out + result.err


def test_key_that_is_missing_or_needed(infer, who, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with Endpoint(key="sk-right") as endpoint:
        result = infer(endpoint, who(1), api_key_env="MY_KEY")
        assert (result.code, result.err) == (
            2,
            "hopeval infer: api_key_env: the environment variable MY_KEY is not set; export it\n",
        )
        result = infer(endpoint, who(1))
        assert result.code == 2
        assert "name its environment variable in api_key_env" in result.err
        monkeypatch.setenv("MY_KEY", "sk-right\n")  # as `export MY_KEY="$(cat file)"` from Windows leaves it
        assert infer(endpoint, who(1), api_key_env="MY_KEY").code == 0
        monkeypatch.setenv("MY_KEY", "sk-\u00e9")
        result = infer(endpoint, who(2), api_key_env="MY_KEY")
        assert result.code == 2
        assert "has characters that no key can have" in result.err
        assert "\u00e9" not in result.err


def test_there_is_no_such_host(infer, who, monkeypatch):
    def nobody_knows_it(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with Endpoint() as endpoint:
        monkeypatch.setattr(socket, "getaddrinfo", nobody_knows_it)
        result = infer(endpoint, who(3), base_url="http://no-such-host.invalid/v1", give_up_s=0.2, attempts=99)
    assert result.code == 2
    assert "base_url: found 'http://no-such-host.invalid/v1'; there is no such host" in result.err


def test_nobody_listens(infer, who):
    with Endpoint() as endpoint:
        pass
    result = infer(endpoint, who(3), give_up_s=0.2, attempts=99)
    assert result.code == 1
    assert re.search(r"no answer for .* only failures; the last: Cannot connect to host 127", result.err)


@pytest.mark.parametrize(
    ("fault", "text", "reason"),
    [
        (answers(None), "", "stop"),
        (answers(None, "content_filter"), "", "content_filter"),
        (answers("Kuor", "length"), "Kuor", "length"),
        (answers([{"type": "text", "text": "Kuor"}, {"type": "text", "text": "tane"}]), "Kuortane", "stop"),
        (zips, None, "stop"),
        (streams, None, "stop"),
        (streams_only, None, "stop"),
        (stays_open, None, "stop"),
    ],
    ids=["null", "filtered", "truncated", "parts", "gzip", "SSE unasked", "SSE only", "SSE that does not end"],
)
def test_answers_of_other_shapes(infer, who, fault, text, reason):
    requests = who(6)
    with Endpoint(lambda call: fault) as endpoint:
        result = infer(endpoint, requests, attempts=1, timeout_s=20)
    assert result.code == 0, result.err
    found = [(response.text, response.finish_reason) for response in result.responses]
    assert found == [(answer_to(q.messages[0].content) if text is None else text, reason) for q in requests]
    truncated = 6 if reason == "length" else 0
    assert f"{truncated} truncated" in result.out


def test_tokens_are_those_that_the_endpoint_counts_and_none_where_it_does_not(infer, who):
    usage = {"prompt_tokens": 90, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 80}}
    silent = answers("x", usage={})
    with Endpoint(lambda call: answers("x", usage=usage) if "q0?" in call.question else silent) as endpoint:
        result = infer(endpoint, who(2))
    found = [(r.prompt_tokens, r.completion_tokens, r.cached_tokens) for r in result.responses]
    assert found == [(90, 3, 80), (0, 0, 0)]


@pytest.mark.parametrize(
    "message",
    [
        completion("Kuortane", reasoning_content="Hm."),
        completion("Kuortane", reasoning="Hm."),
        completion("<think>\nHm.\n</think>\n\nKuortane"),
        completion("Hm.</think>Kuortane"),
    ],
)
def test_thinking_is_kept_apart(infer, who, message):
    with Endpoint(lambda call: says(message)) as endpoint:
        result = infer(endpoint, who(1))
    assert [(r.text, r.reasoning) for r in result.responses] == [("Kuortane", "Hm.")]


@pytest.mark.parametrize(
    ("formats", "told"),
    [
        (["json_schema"], None),
        (["json_object", None], "asking for json_object from now on"),
        ([None], "asking for plain text from now on"),
    ],
)
def test_the_best_format_that_it_takes_is_found_once(infer, who, formats, told):
    requests = who(40, schema=SCHEMA)
    with Endpoint(takes_formats(*formats)) as endpoint:
        result = infer(endpoint, requests, concurrency=1)
    assert_all_answered(result, requests)
    assert endpoint.calls[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }
    assert {call.format for call in endpoint.calls[-39:]} == {formats[0]}
    assert len(endpoint.calls) == 40 + ["json_schema", "json_object", None].index(formats[0])
    assert result.out.count("the endpoint takes no json_schema (400: response_format") == (told is not None)
    assert told is None or told in result.out


def test_the_format_is_found_by_many_at_once(infer, who):
    # Refusals come in any order: a late one must not undo what another request has found.
    requests, chance, only_text = who(200, schema=SCHEMA), random.Random(0), takes_formats(None)

    def behave(call):
        endpoint.latency_s = chance.choice([0, 0.005, 0.05])
        return only_text(call)

    with Endpoint(behave) as endpoint:
        result = infer(endpoint, requests, concurrency=64)
    assert_all_answered(result, requests)
    assert result.out.count("asking for plain text from now on") == 1


def test_streams_only_with_a_schema(infer, who):
    requests = who(5, schema=SCHEMA)
    with Endpoint(lambda call: streams_only) as endpoint:
        result = infer(endpoint, requests, concurrency=1)
    assert_all_answered(result, requests)
    assert endpoint.calls[-1].body["stream_options"] == {"include_usage": True}
    assert endpoint.calls[-1].format == "json_schema"
    assert "asking for stream of json_schema from now on" in result.out
    assert [r.completion_tokens for r in result.responses] == [5] * 5


def test_what_a_server_says_steers_no_terminal(infer, who):
    with Endpoint(lambda call: refuses(500 if call.number < 3 else 400, "\x1b[31mred\x07")) as endpoint:
        result = infer(endpoint, who(1))
    assert "\x1b" not in result.out + result.err
    assert "\x07" not in result.out + result.err


def test_words_without_end_are_cut(infer, who):
    with Endpoint(lambda call: refuses(400, "no " * 100_000)) as endpoint:
        result = infer(endpoint, who(1))
    assert len(result.errors["q0"]) < 400
    assert len(result.err) < 1000


def test_settings_of_the_sampling_reach_the_endpoint(infer, who):
    sampling = {"temperature": 0.5, "max_tokens": 7, "seed": 3, "top_p": 0.9, "stop": ["."]}
    with Endpoint() as endpoint:
        infer(endpoint, who(1), sampling=sampling)
    assert sampling.items() <= endpoint.calls[0].body.items()


@pytest.mark.parametrize("status", [404, 500])
def test_a_schema_that_is_refused_in_another_way_is_left_out(infer, who, status):
    requests = who(30, schema=SCHEMA)

    def behave(call):
        return refuses(status, "No endpoints found that can handle the requested parameters") if call.format else None

    with Endpoint(behave) as endpoint:
        result = infer(endpoint, requests)
    assert_all_answered(result, requests)
    assert "asking for plain text from now on" in result.out
    assert {call.format for call in endpoint.calls[-20:]} == {None}


def test_a_404_half_way_is_that_requests_own(infer, who):
    with Endpoint(lambda call: refuses(404, "no route") if call.number == 20 else None) as endpoint:
        result = infer(endpoint, who(30), max_failures=1)
    assert (result.code, list(result.errors.values())) == (0, ["404: no route"])


def test_the_password_of_a_proxy_is_told_nowhere(infer, who, monkeypatch, tmp_path):
    with Endpoint(lambda call: None) as endpoint:
        monkeypatch.delenv("no_proxy")
        monkeypatch.setenv("http_proxy", "http://me:proxy-secret@127.0.0.1:9")
        result = infer(endpoint, who(3), give_up_s=0.1, max_failures=3)
    assert result.code != 0
    assert "proxy-secret" not in result.out + result.err
    assert all(b"proxy-secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_job_has_so_much_time(infer, who):
    requests = who(200)
    with Endpoint(latency_s=0.1) as endpoint:
        result = infer(endpoint, requests, shard_timeout_s=1.0, grace_s=5.0)
        assert result.code == 1
        assert "not done after 1 s (shard_timeout_s); all answers so far are kept" in result.err
        assert 0 < len(result.kept) == len(endpoint.calls) < 200
        result = infer(endpoint, requests)
    assert_all_answered(result, requests)
    assert len(endpoint.calls) == 200
