"""Requests go out at once and whole, whatever the server does meanwhile, and streams end where they say so."""

import asyncio
import gc
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from hopeval.engines.transfer import _Begun, read_body, request_class

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LARGE = b"x" * (32 << 20)
"""More than any socket takes at once."""


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(request_class=request_class()) as http:
        yield http


@asynccontextmanager
async def server(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    async def until_it_ends(reader, writer):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)

    listening = await asyncio.start_server(until_it_ends, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/"
    finally:
        listening.close()


@pytest.fixture
def complaints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What loops say of errors that nobody has looked at, by the end of the test."""
    gc.collect()  # what earlier tests have dropped is no business of this one
    found = list[str]()
    monkeypatch.setattr(
        asyncio.BaseEventLoop, "call_exception_handler", lambda loop, context: found.append(str(context))
    )
    return found


def run(work: Any, complaints: list[str]) -> Any:
    try:
        return asyncio.run(asyncio.wait_for(work, 30))
    finally:
        gc.collect()
        assert complaints == []


def test_a_request_goes_out_before_other_work_is_done(complaints):
    async def work():
        loop = asyncio.get_running_loop()
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        async with session() as http:
            first = asyncio.create_task(http.post(url, data=b"first"))
            connection, _ = await loop.sock_accept(listening)
            with listening, connection:
                while not (await loop.sock_recv(connection, 65536)).endswith(b"first"):
                    pass
                await loop.sock_sendall(connection, REPLY)
                await (await first).read()
                second = asyncio.create_task(http.post(url, data=b"second"))
                await asyncio.sleep(0)  # its first step, and no more
                assert select.select([connection], [], [], 10)[0]
                assert connection.recv(65536).endswith(b"\r\n\r\nsecond")
                await loop.sock_sendall(connection, REPLY)
                assert await (await second).read() == b"ok"

    run(work(), complaints)


def test_a_large_request_to_a_slow_server_arrives_whole(complaints):
    async def serve(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.2)
            assert await reader.readexactly(len(LARGE)) == LARGE
            writer.write(REPLY)

    async def work():
        async with server(serve) as url, session() as http:
            for _ in range(2):
                async with http.post(url, data=LARGE) as reply:
                    assert await read_body(reply) == b"ok"

    run(work(), complaints)


def test_a_connection_that_is_reset_while_a_request_goes_out(complaints):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async def work():
        async with server(serve) as url, session() as http:
            with pytest.raises((aiohttp.ClientError, OSError)):
                await http.post(url, data=LARGE)

    run(work(), complaints)


def test_a_request_that_is_given_up_while_it_goes_out(complaints):
    given_up = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await given_up.wait()
        writer.transport.abort()

    async def work():
        async with server(serve) as url, session() as http:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await http.post(url, data=LARGE)
            given_up.set()

    run(work(), complaints)


def test_a_coroutine_that_has_begun_goes_on_in_a_task():
    async def work():
        steps, gate = [], asyncio.Event()

        async def walk(*, fails=False):
            steps.append("begun")
            try:
                await gate.wait()
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise
            if fails:
                raise ValueError("lost")
            steps.append("ended")

        one, other = _Begun(walk()), _Begun(walk(fails=True))
        assert steps == ["begun", "begun"]
        one, other = asyncio.create_task(one), asyncio.create_task(other)
        gate.set()
        await one
        with pytest.raises(ValueError, match="lost"):
            await other
        gate.clear()
        cancelled = asyncio.create_task(_Begun(walk()))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        gate.set()
        await _Begun(asyncio.sleep(0))
        ended = asyncio.create_task(_Begun(gate.wait()))  # waits for nothing
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended
        _Begun(walk()).close()
        return steps

    assert asyncio.run(work()) == ["begun", "begun", "ended", "begun", "cancelled", "begun"]


ALIVE = b": still here\n\n"


def streaming(*parts: bytes, ends: bool) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def serve(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in parts:
                writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                await asyncio.sleep(0.01)
            if ends:
                writer.write(b"0\r\n\r\n")

    return serve


@pytest.mark.parametrize(
    ("parts", "ends"),
    [
        ([b'data: {"a": 1}\n\n', b"data: [DONE]\n\n"], False),
        ([b"data: [DONE]\r\n\r\n"], False),
        ([b'data: {"a": 1}\r\rda', b"ta:[DO", b"NE]"], False),
        ([b'data: {"a": 1}\n\ndata: [DONE]\n\n', ALIVE], False),
        ([b'data: {"a": "data: [DONE]"}\n\n', b'data: {"a": 2}\n\n'], True),
    ],
)
def test_a_stream_ends_where_it_says_so(complaints, parts, ends):
    async def work():
        async with server(streaming(*parts, ends=ends)) as url, session() as http, http.get(url) as reply:
            return await read_body(reply)

    assert run(work(), complaints).removesuffix(ALIVE) == b"".join(parts).removesuffix(ALIVE)


def test_the_connection_of_a_stream_that_ends_is_used_again(complaints, monkeypatch):
    monkeypatch.setattr("hopeval.engines.transfer._END_S", 10.0)
    connections = []
    serve = streaming(b"data: [DONE]\n\n", ends=True)

    async def work():
        async def count(reader, writer):
            connections.append(writer)
            await serve(reader, writer)

        async with server(count) as url, session() as http:
            for _ in range(3):
                async with http.get(url) as reply:
                    await read_body(reply)

    run(work(), complaints)
    assert len(connections) == 1
