"""Every shape of reply is an answer, or says why it is none; and no bytes whatever raise anything else."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from endpoint import answer_to, completion, error, events
from hopeval.engines.base import Busy, Completion, RequestFailed
from hopeval.engines.replies import Broken, read_reply, read_stream, reason_of, trouble


def encoded(value):
    return json.dumps(value).encode()


def reply(text, finish_reason="stop", usage=None, **message):
    return encoded(completion(text, finish_reason, usage, **message))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(reply("Kuortane"), Completion("Kuortane", "stop", 12, 5), id="plain"),
        pytest.param(reply("Kuor", "length"), Completion("Kuor", "length", 12, 5), id="truncated"),
        pytest.param(reply(None), Completion("", "stop", 12, 5), id="null"),
        pytest.param(reply(None, "content_filter"), Completion("", "content_filter", 12, 5), id="filtered"),
        pytest.param(reply("x", None, {}), Completion("x"), id="no usage, no reason"),
        pytest.param(
            reply(
                "x", usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}
            ),
            Completion("x", "stop", 9, 2, 8),
            id="cached",
        ),
        pytest.param(
            reply("x", usage={"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}),
            Completion("x", "stop", 9),
            id="null among the numbers",
        ),
        pytest.param(
            reply("x", reasoning_content="hm"), Completion("x", "stop", 12, 5, 0, "hm"), id="reasoning_content"
        ),
        pytest.param(reply("x", reasoning="hm"), Completion("x", "stop", 12, 5, 0, "hm"), id="reasoning"),
        pytest.param(
            reply("x", reasoning="hm", reasoning_content=None), Completion("x", "stop", 12, 5, 0, "hm"), id="one of two"
        ),
        pytest.param(
            reply([{"type": "text", "text": "Kuor"}, {"type": "text", "text": "tane"}, {"type": "refusal"}, "odd"]),
            Completion("Kuortane", "stop", 12, 5),
            id="parts",
        ),
        pytest.param(reply([{"type": "text", "text": None}]), Completion("", "stop", 12, 5), id="part without text"),
        pytest.param(
            encoded({**completion("x"), "error": None}),
            Completion("x", "stop", 12, 5),
            id="error null beside an answer",
        ),
    ],
)
def test_whole_replies(body, found):
    assert read_reply(body) == found


@pytest.mark.parametrize(
    ("body", "raised", "said"),
    [
        (b"", Busy, "no chat completion: Input data was truncated"),
        (b"<html>Bad gateway</html>", Busy, "no chat completion: JSON is malformed"),
        (reply("Kuortane")[:-9], Busy, "no chat completion: Input data was truncated"),
        (b'{"choices": [{"message": {"content": "\xff"}}]}', Busy, "no chat completion: 'utf-8'"),
        (b'{"error": ' + b"[" * 100_000, Busy, "no chat completion: maximum recursion depth"),
        (b"[]", Busy, "no chat completion: Expected `object`"),
        (encoded({"choices": []}), Busy, "the reply holds no choice"),
        (encoded({"choices": [{"text": "not of a chat"}]}), Busy, "the reply holds no choice"),
        (encoded({"choices": [{"message": {}}]}), Busy, "the reply holds no answer"),
        (reply("Kuor", "error"), Busy, "broken off (finish_reason 'error')"),
        (reply("Kuor", "abort"), Busy, "broken off (finish_reason 'abort')"),
        (encoded(error("no such luck")), RequestFailed, "no such luck"),
        (encoded({"error": "no such luck"}), RequestFailed, "no such luck"),
        (encoded(error("bad request", 400)), RequestFailed, "bad request"),
        (encoded(error("upstream is down", 502)), Broken, "upstream is down"),
        (encoded(error("slowly", 429)), Busy, "slowly"),
        (encoded({**completion("Kuor", "error"), **error("upstream is down", 502)}), Broken, "upstream is down"),
    ],
)
def test_replies_that_are_no_answer(body, raised, said):
    with pytest.raises(RequestFailed) as found:
        read_reply(body)
    assert type(found.value) is raised
    assert said in str(found.value)


STREAM = "".join(events("Kuortane", "stop")).encode()


@pytest.mark.parametrize(
    "body",
    [
        STREAM,
        STREAM.replace(b"\n", b"\r\n"),
        STREAM.replace(b"\n", b"\r"),
        STREAM.replace(b"data: ", b"data:"),
        STREAM.replace(b"data: ", b": a comment\nevent: message\nid: 7\ndata: "),
        STREAM.replace(b', "delta"', b',\ndata: "delta"'),
        STREAM.removesuffix(b"\n\n"),
        STREAM.removesuffix(b"data: [DONE]\n\n"),
        STREAM + b"data: what comes after the end\n\n",
    ],
    ids=["LF", "CRLF", "CR", "no space", "other fields", "two lines", "no last line", "no DONE", "more after DONE"],
)
def test_streams_however_they_are_written(body):
    assert read_stream(body) == Completion("Kuortane", "stop", 12, 5)


def test_stream_whose_text_has_line_separators_of_unicode():
    text = "a\u2028b\u0085c\x0bd"
    lines = [line.replace("\\u2028", "\u2028").replace("\\u0085", "\u0085") for line in events(text, "stop")]
    assert read_stream("".join(lines).encode()).text == text


def test_stream_with_reasoning_and_more_than_one_choice():
    chunks = [
        {"choices": [{"index": 0, "delta": {"reasoning_content": "hm", "content": None}}]},
        {"choices": [{"index": 0, "delta": {"reasoning_content": "…"}}]},
        {"choices": [{"index": 0, "delta": {"content": "x"}}, {"index": 1, "delta": {"content": "y"}}]},
        {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "length"}]},
    ]
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    assert read_stream(body) == Completion("x", "length", reasoning="hm…")


@pytest.mark.parametrize(
    ("body", "raised", "said"),
    [
        (b"", Busy, "the stream broke off"),
        (b"data: [DONE]\n\n", Busy, "the reply holds no answer"),
        (b": nothing but comments\n\n", Busy, "the stream broke off"),
        (b"".join(part.encode() for part in events("Kuortane", "stop")[:4]), Busy, "the stream broke off"),
        (STREAM[:100], Busy, "no chat completion"),
        (
            b'data: {"choices": []}\n\ndata: {"error": {"message": "out of memory", "code": 500}}\n\n',
            Broken,
            "out of memory",
        ),
        (b'data: {"error": {"message": "too long", "code": 400}}\n\n', RequestFailed, "too long"),
    ],
)
def test_streams_that_are_no_answer(body, raised, said):
    with pytest.raises(RequestFailed) as found:
        read_stream(body)
    assert type(found.value) is raised
    assert said in str(found.value)


def test_no_prefix_of_a_stream_is_another_answer():
    whole = Completion(answer_to("q"), "stop", 12, 5)
    body = "".join(events(answer_to("q"), "stop")).encode()
    for end in range(len(body)):
        try:
            found = read_stream(body[:end])
        except Busy:
            continue
        assert (found.text, found.finish_reason) == (whole.text, "stop")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (encoded(error("Who are you?", "invalid_api_key")), ("invalid_api_key", "Who are you?")),
        (encoded({"error": "Input validation error", "error_type": "validation"}), (None, "Input validation error")),
        (encoded({"object": "error", "message": "too long", "code": 400}), (400, "too long")),
        (encoded({"detail": "Not Found"}), (None, "Not Found")),
        (encoded({"detail": [{"loc": ["body"], "msg": "x"}]}), (None, "[{'loc': ['body'], 'msg': 'x'}]")),
        (b"<h1>Bad\n gateway</h1>", (None, "<h1>Bad gateway</h1>")),
        (b"\xff", (None, "\ufffd")),
        (b"", (None, "")),
        (b"[" * 100_000, (None, "[" * 100_000)),
    ],
)
def test_reasons_in_their_usual_forms(body, found):
    assert reason_of(body) == found


@pytest.mark.parametrize(
    ("status", "raised", "overloaded"),
    [
        *((status, RequestFailed, None) for status in (400, 403, 413, 422, 501)),
        *((status, Busy, False) for status in (408, 409, 425)),
        *((status, Broken, False) for status in (500, 502, 504)),
        *((status, Busy, True) for status in (429, 503, 529)),
    ],
)
def test_which_refusals_may_pass(status, raised, overloaded):
    found = trouble(status, "no", 3.0)
    assert (type(found), str(found), getattr(found, "overloaded", None)) == (raised, "no", overloaded)
    assert getattr(found, "after_s", 3.0) == 3.0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "delta", "content", "text", "error", "code", "usage", "finish_reason"]
            ),
            inner,
        )
    ),
    max_leaves=20,
)


@given(st.binary() | json_values.map(encoded) | json_values.map(lambda value: b"data: " + encoded(value) + b"\n\n"))
@example(b'{"choices": [{"message": {"content": "\\ud800"}}]}')
@example(b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1e999}}')
@example(b'data: {"a":' * 50_000)
def test_no_bytes_raise_anything_but_what_is_said(body):
    for read in (read_reply, read_stream):
        with suppress(RequestFailed):  # Busy is one too
            assert isinstance(read(body), Completion)
    code, words = reason_of(body)
    assert code is None or isinstance(code, str | int)
    assert isinstance(words, str)
