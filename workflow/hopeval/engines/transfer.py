"""How requests go out over HTTP and replies come in, where aiohttp leaves a choice."""

import asyncio
import re
import sys
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hopeval.engines.base import RequestFailed

if TYPE_CHECKING:
    import aiohttp

_LONGEST_REPLY = 64 << 20
_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
_DONE_BYTES = len(b"\ndata: [DONE]")
_END_S = 0.1
"""Seconds for a stream to end after it has said that it is done; well-behaved servers take none."""


def request_class() -> "type[aiohttp.ClientRequest]":
    """The requests of a session that sends each at once, whatever Python it runs on."""
    import aiohttp

    if sys.version_info >= (3, 12):
        return aiohttp.ClientRequest

    class PromptRequest(aiohttp.ClientRequest):
        """Begins to send its body at once, as aiohttp's own does from Python 3.12 on.

        Before, it does so in a task, which runs when all replies that came together have been dealt with.
        So requests whose replies come together go out together, their replies come together again, and the
        bunches grow: with 256 in flight a request waited 10 ms to be sent that took 0.3 ms to make.
        """

        def write_bytes(self, *arguments: Any) -> "_Begun":
            return _Begun(super().write_bytes(*arguments))

    return PromptRequest


class _Begun(Generator[Any, Any, None], Coroutine[Any, Any, None]):
    """A coroutine that has run up to where it first waits, or to its end. A task takes it on from there."""

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine, self._ended, self._waits_for = coroutine, False, None
        try:
            self._waits_for = coroutine.send(None)
        except StopIteration:
            self._ended = True

    def send(self, value: Any) -> Any:
        """What it waits for next."""
        if self._ended:
            raise StopIteration
        waits_for, self._waits_for = self._waits_for, None
        return waits_for if waits_for is not None else self._coroutine.send(value)

    def throw(self, error: Any, *more: Any) -> Any:
        """What it waits for next, when this is raised where it waited."""
        if self._ended:
            raise error
        self._waits_for = None
        return self._coroutine.throw(error, *more)

    def close(self) -> None:
        """Give it up."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self


async def read_body(reply: "aiohttp.ClientResponse") -> bytes:
    """The whole body; of a stream of events all up to ``[DONE]``, even if it does not end there.

    Raises RequestFailed for one that does not come to an end.
    """
    length, is_stream = reply.content_length, reply.content_type == "text/event-stream"
    if length is not None and length <= _LONGEST_REPLY and not is_stream and not reply.headers.get("Content-Encoding"):
        return await reply.read()
    content = bytearray()
    async for chunk in reply.content.iter_any():
        seen = len(content)
        content += chunk
        if len(content) > _LONGEST_REPLY:
            raise RequestFailed(f"the reply is longer than {_LONGEST_REPLY >> 20} MiB")
        if is_stream and _DONE.search(content, max(0, seen - _DONE_BYTES)):
            await _let_end(reply)
            break
    return bytes(content)


async def _let_end(reply: "aiohttp.ClientResponse") -> None:
    """Wait a moment for the end of the body: only where it has come is the connection used again."""
    import aiohttp

    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_END_S):
            await reply.content.wait_eof()
