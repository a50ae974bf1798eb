"""Chat completions as servers send them: whole or as a stream, complete or with parts left out."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from hopeval.engines.base import Busy, Completion, RequestFailed

_AGAIN = {408, 409, 425, 429}
_OVERLOADED = {429, 503, 529}
_NEVER = 501  # llama.cpp's for what it does not support
_BROKEN_OFF = {"abort", "error"}
"""Reasons to finish that leave no answer (vLLM, SGLang, OpenRouter)."""


class _Message(Struct):
    content: str | list[Any] | None = None
    refusal: Any = None  # OpenAI: why it does not answer
    reasoning_content: Any = None  # vLLM's older name, llama.cpp, DeepSeek
    reasoning: Any = None  # vLLM, OpenRouter


class _Choice(Struct):
    message: _Message | None = None
    delta: _Message | None = None
    finish_reason: str | None = None


class _Reply(Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Reply)


def read_reply(body: bytes) -> Completion:
    """The answer in a whole reply; without usage numbers, its tokens are 0.

    Raises Busy for a body that is no such reply (cut off, or of a proxy in between), Busy or RequestFailed
    for an error that came as a success.
    """
    reply = _decode(body)
    choice = reply.choices[0] if reply.choices else None
    if choice is None or choice.message is None:
        raise Busy("the reply holds no choice")
    return _completion([choice.message], choice.finish_reason, reply.usage)


def read_stream(body: bytes) -> Completion:
    """The same of a stream of server-sent events. Raises also Busy when it ends before its time."""
    parts: list[_Message] = []
    finish_reason, usage, ended = None, None, False
    for data in _events(body):
        if data == b"[DONE]":
            ended = True
            break
        chunk = _decode(data)
        usage = chunk.usage or usage
        for choice in (chunk.choices or [])[:1]:
            parts += [choice.delta] if choice.delta else []
            finish_reason = choice.finish_reason or finish_reason
    if not ended and finish_reason is None:
        raise Busy("the stream broke off")
    return _completion(parts, finish_reason, usage)


def _events(body: bytes) -> Iterator[bytes]:
    """The data of each event (WHATWG: lines of one event are joined; an empty line ends it)."""
    data: list[bytes] = []
    for line in [*body.splitlines(), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []


def _decode(body: bytes) -> _Reply:
    try:
        reply = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Busy(f"the reply is no chat completion: {error}") from None
    if reply.error:
        code, words = reason_of(body)
        raise trouble(code if isinstance(code, int) else 400, words)
    return reply


def _completion(parts: list[_Message], finish_reason: str | None, usage: Any) -> Completion:
    if finish_reason in _BROKEN_OFF:
        raise Busy(f"the answer was broken off (finish_reason {finish_reason!r})")
    text = "".join(_text(part.content) or _words(part.refusal) for part in parts)
    reasoning = "".join(_words(part.reasoning_content) or _words(part.reasoning) for part in parts)
    if not (text or reasoning or finish_reason):
        raise Busy("the reply holds no answer")
    counts = usage if isinstance(usage, dict) else {}
    details = counts.get("prompt_tokens_details")
    return Completion(
        text,
        finish_reason,
        _count(counts.get("prompt_tokens")),
        _count(counts.get("completion_tokens")),
        _count(details.get("cached_tokens") if isinstance(details, dict) else None),
        reasoning,
    )


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int:
    """A number of tokens; 0 for what is none: an answer is not thrown away over its bill."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e12 else 0


def _text(content: str | list[Any] | None) -> str:
    """A message's text: null when the server withheld it, a list where it comes in typed parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content or ""


class Broken(Busy):
    """Answered 5xx: the server is in trouble for now, or cannot do what this request asks for."""


def trouble(status: int, words: str, after_s: float = 0.0) -> RequestFailed:
    """What a refusal with this HTTP status is: Busy when it may pass, RequestFailed when it will not."""
    if status in _AGAIN or status in _OVERLOADED:
        return Busy(words, after_s, status in _OVERLOADED)
    if status >= 500 and status != _NEVER:
        return Broken(words, after_s)
    return RequestFailed(words)


def reason_of(body: bytes) -> tuple[str | int | None, str]:
    """The code and the words of an error reply, in whichever of the usual forms."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = body.decode(errors="replace")
    if isinstance(value, dict):
        value = value.get("error") or value
    code = value.get("code") if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("message") or value.get("detail") or value
    return (code if isinstance(code, str | int) else None), " ".join(str(value).split())
