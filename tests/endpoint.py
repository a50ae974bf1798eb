"""An endpoint that speaks OpenAI's chat completions over real HTTP, and fails as it is told.

It stands where an outside service would. In a thread of its own: ``with Endpoint(behave=…) as endpoint``,
then ``endpoint.url``; as a process: ``python endpoint.py --port 8000`` (see its --help).

``behave(call)`` is asked at each call and gives None for a good answer, or a fault: a coroutine function
of (endpoint, call, request) that answers in its own way. The good answer to a question is ``answer_to`` it,
so that a test can tell whose answer it has. All calls are kept in ``endpoint.calls``.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

FOR_EVER_S = 3600


@dataclass
class Call:
    """A request that came in: the how manieth (from 1), when (time.monotonic()), beside how many others."""

    number: int
    at: float
    headers: Mapping[str, str]
    body: dict[str, Any]
    in_flight: int

    @property
    def question(self) -> str:
        """The last message."""
        return self.body["messages"][-1]["content"]

    @property
    def format(self) -> str | None:
        """The kind of its response_format."""
        return self.body.get("response_format", {}).get("type")


Fault = Callable[["Endpoint", Call, web.Request], Awaitable[web.StreamResponse]]


def answer_to(question: str) -> str:
    """What the endpoint answers to a question."""
    return f"An answer to {question}"


def completion(
    text: Any, finish_reason: str | None = "stop", usage: Mapping[str, Any] | None = None, **message: Any
) -> dict[str, Any]:
    """The body of a reply; ``usage`` {} leaves the numbers out, ``message`` are further fields of the message."""
    used = {"prompt_tokens": 12, "completion_tokens": 5} if usage is None else usage
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
    }
    return {**reply, "usage": used} if used else reply


def error(message: str, code: str | int | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    """The body of an error as OpenAI writes it."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def well(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """The good answer, as a stream if that was asked for."""
    if call.body.get("stream"):
        return await streams(endpoint, call, request)
    return web.json_response(completion(answer_to(call.question)))


# Faults.


def says(body: Any, status: int = 200, **headers: str) -> Fault:
    """Answers this body: bytes as they are, anything else as JSON."""

    async def act(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(
            status=status, body=content, headers={"Content-Type": "application/json", **_dashed(headers)}
        )

    return act


def refuses(status: int, message: str = "no", code: str | int | None = None, **headers: str) -> Fault:
    """Answers an error of this status; ``retry_after="3"`` becomes Retry-After: 3."""
    return says(error(message, code), status, **headers)


def answers(text: Any, finish_reason: str | None = "stop", **more: Any) -> Fault:
    """Answers well, but with this text (see ``completion``)."""
    return says(completion(text, finish_reason, **more))


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def http_date(seconds_from_now: float) -> str:
    """A moment as Retry-After gives it, in whole seconds."""
    return formatdate(time.time() + seconds_from_now, usegmt=True)


async def hangs(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.sleep(FOR_EVER_S)
    raise web.HTTPGatewayTimeout


async def drips(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Sends white space for ever."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(FOR_EVER_S * 50):
        await response.write(b" ")
        await asyncio.sleep(0.02)
    return response


async def resets(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Resets the connection in the middle of the body."""
    content = json.dumps(completion(answer_to(call.question))).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(content))})
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    await asyncio.sleep(0.01)
    _abort(request.transport)
    return response


def _abort(transport: Any) -> None:
    """End a connection by RST."""
    if transport is not None and transport.get_extra_info("socket") is not None:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()


async def redirects(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Sends the client to another path."""
    return web.Response(status=308, headers={"Location": f"{endpoint.url}/elsewhere"})


async def zips(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Answers well, compressed."""
    response = web.json_response(completion(answer_to(call.question)))
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def streams(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Answers well as a stream, whatever was asked for."""
    return await _stream(request, events(answer_to(call.question), "stop"))


async def stays_open(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Answers well as a stream, [DONE] and all, but does not end it."""
    response = await _stream(request, events(answer_to(call.question), "stop"))
    await asyncio.sleep(FOR_EVER_S)
    return response


async def breaks_off(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Answers with a stream that ends in the middle."""
    return await _stream(request, events(answer_to(call.question), "stop")[:2])


async def streams_only(endpoint: "Endpoint", call: Call, request: web.Request) -> web.StreamResponse:
    """Answers as a stream if asked to, and refuses otherwise."""
    good = streams if call.body.get("stream") else refuses(400, "only stream=true is supported")
    return await good(endpoint, call, request)


def events(text: str, finish_reason: str | None) -> list[str]:
    """A stream's events: a character each, the end, the usage, [DONE]."""
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    chunks += [{"choices": [{"index": 0, "delta": {"content": letter}, "finish_reason": None}]} for letter in text]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}]
    chunks += [{"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5}}]
    return [*(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks), "data: [DONE]\n\n"]


async def _stream(request: web.Request, parts: list[str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for part in parts:
        await response.write(part.encode())
    return response


def takes_formats(*formats: str | None) -> Callable[[Call], Fault | None]:
    """Behaves like an endpoint that knows only these kinds of response_format."""
    refusal = refuses(400, "response_format of this type is not supported")
    return lambda call: None if call.format in formats else refusal


# When.


def first(count: int, fault: Fault) -> Callable[[Call], Fault | None]:
    """The fault at the first so many calls."""
    return lambda call: fault if call.number <= count else None


def at(question: str, fault: Fault) -> Callable[[Call], Fault | None]:
    """The fault whenever the question holds this."""
    return lambda call: fault if question in call.question else None


def randomly(share: float, seed: int, *faults: Fault) -> Callable[[Call], Fault | None]:
    """One of the faults at this share of the calls."""
    chance = random.Random(seed)
    return lambda call: chance.choice(faults) if chance.random() < share else None


@dataclass
class Endpoint:
    """The endpoint, from ``__enter__`` to ``__exit__``.

    Past ``capacity`` requests in flight it is slower by as much, so that its throughput stays (``past``
    "slow"), or answers 429 ("429").
    """

    behave: Callable[[Call], Fault | None] = lambda call: None
    key: str | None = None
    models: tuple[str, ...] = ("m",)
    latency_s: float = 0.0
    capacity: int | None = None
    past: str = "slow"
    health: int = 200
    calls: list[Call] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """Up to and with /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    def questions(self) -> list[str]:
        """The question of each call, in order."""
        return [call.question for call in self.calls]

    # Life: all of it in the loop of a thread of its own.

    def __enter__(self) -> "Endpoint":
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._wait_for(self.start())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for(self.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait_for(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def start(self) -> None:
        """Listen; after a ``stop`` on the same port again."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/health", self._health)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more and reset all connections."""
        server = self._runner.server
        for connection in list(server.connections if server else []):
            _abort(connection.transport)
        await self._runner.cleanup()

    def dies(self, for_s: float) -> None:
        """Stop at once and start again after so many seconds; to be called by ``behave``."""

        async def rest() -> None:
            await self.stop()
            await asyncio.sleep(for_s)
            await self.start()

        self._resting = asyncio.get_running_loop().create_task(rest())

    # What it answers.

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            body = await request.json()
            call = Call(len(self.calls) + 1, time.monotonic(), dict(request.headers), body, self.in_flight)
            self.calls.append(call)
            fault = self._refusal(call, request) or self.behave(call) or self._overload(call)
            await asyncio.sleep(self.latency_s * self._slowness())
            return await (fault or well)(self, call, request)
        finally:
            self.in_flight -= 1

    def _refusal(self, call: Call, request: web.Request) -> Fault | None:
        if self.key is not None and call.headers.get("Authorization") != f"Bearer {self.key}":
            sent = call.headers.get("Authorization", "").removeprefix("Bearer ")
            return refuses(401, f"Incorrect API key provided: {sent}.", "invalid_api_key")
        if call.body["model"] not in self.models:
            return refuses(404, f"The model `{call.body['model']}` does not exist.", "model_not_found")
        return None

    def _overload(self, call: Call) -> Fault | None:
        full = self.past == "429" and self.capacity is not None and call.in_flight > self.capacity
        return refuses(429, "too many requests in flight") if full else None

    def _slowness(self) -> float:
        slow = self.past == "slow" and self.capacity is not None
        return max(1.0, self.in_flight / self.capacity) if slow and self.capacity else 1.0

    async def _list(self, request: web.Request) -> web.Response:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return web.json_response(error(f"Incorrect API key provided: {sent}."), status=401)
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=self.health)


def main() -> None:
    """Serve until ended, as a server that a job starts itself."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--capacity", type=int, help="calls in flight past which it slows down")
    parser.add_argument("--start-after", type=float, default=0.0, help="seconds until it listens")
    parser.add_argument("--health", type=int, default=200, help="what /health answers")
    parser.add_argument("--pids", help="file for the ids of this process and of a child in a session of its own")
    parser.add_argument("--deaf-child", action="store_true", help="that child does not mind SIGTERM")
    parser.add_argument("--ends-at", type=int, help="the call at which it ends with exit code 7")
    args = parser.parse_args()
    if args.pids:
        deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " if args.deaf_child else ""
        sleep = [sys.executable, "-c", f"{deaf}import time; time.sleep(600)"]
        child = subprocess.Popen(sleep, start_new_session=True)
        with open(f"{args.pids}.part", "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
        os.replace(f"{args.pids}.part", args.pids)
    time.sleep(args.start_after)

    def behave(call: Call) -> Fault | None:
        if call.number == args.ends_at:
            os._exit(7)
        return None

    async def serve() -> None:
        endpoint = Endpoint(behave, latency_s=args.latency, capacity=args.capacity, health=args.health, port=args.port)
        await endpoint.start()
        print(f"listening on {args.port}", flush=True)
        await asyncio.sleep(FOR_EVER_S)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
