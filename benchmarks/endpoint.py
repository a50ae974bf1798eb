"""Asking an endpoint: requests/s against the ideal, CPU for each, and what ``concurrency: auto`` finds.

    PYTHONPATH=workflow python benchmarks/endpoint.py

The endpoint is a process beside this one that answers each chat completion after 200 ms. Ours is
``hopeval infer``, all of it: requests read from disk, responses into the journal and the output, and each
parsed. Ideal is the number in flight divided by the latency. For comparison a part of the same work is done by
aiohttp alone, with as many in flight, which tells how fast the machine is, and by the usual script, a pool of 4
and of 8 threads with the package ``requests``.

Two more endpoints can do 48 requests at once: past that one slows down, the other answers 429. Each is
asked with several fixed numbers in flight and with ``auto``; what counts is the rate over the second half
of a run. All in all about eight minutes.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from goals import goal

from hopeval.commands import infer
from hopeval.io import write_records
from hopeval.parsing import parse
from hopeval.records import Message, Request, Response

LATENCY_S = 0.2
CAPACITY = 48
SECONDS = 15
GOAL, GOAL_CPU_MS, GOAL_AUTO = 0.95, 0.5, 0.9
SENTENCES = {"2": ("Kariba", 1), "5": ("Zambezi", 0)}
REPLY = msgspec.json.encode(
    {
        "object": "chat.completion",
        "choices": [
            {"message": {"content": '{"answer": "Kariba", "supporting_facts": [2, 5]}'}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 900, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 0}},
    }
)


class Endpoint(asyncio.Protocol):
    """One connection. ``kind`` is 'steady', 'slows' or 'refuses' past CAPACITY requests in flight."""

    kind = "steady"
    in_flight = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.read = transport, bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer each whole request after its time."""
        self.read += data
        while (end := self.read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.read[:end]).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            if len(self.read) < end + 4 + length:
                return
            del self.read[: end + 4 + length]
            self.take(head)

    def take(self, head: bytes) -> None:
        """Begin a request, or refuse it."""
        crowd = Endpoint.in_flight + 1
        if head.startswith(b"get ") or (self.kind == "refuses" and crowd > CAPACITY):
            self.send(429 if head.startswith(b"post ") else 404, b'{"error": {"message": "no"}}')
            return
        Endpoint.in_flight = crowd
        slower = (crowd / CAPACITY) ** 2 if self.kind == "slows" and crowd > CAPACITY else 1.0
        asyncio.get_running_loop().call_later(LATENCY_S * slower, self.finish)

    def finish(self) -> None:
        """Answer."""
        Endpoint.in_flight -= 1
        self.send(200, REPLY)

    def send(self, status: int, body: bytes) -> None:
        """Write a whole reply."""
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)


async def serve(port: int, kind: str) -> None:
    """Serve until this process is ended."""
    Endpoint.kind = kind
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


@contextlib.contextmanager
def endpoint(kind: str) -> Iterator[str]:
    """The address of an endpoint in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, "--serve", kind, str(port)])
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def requests_of(count: int) -> list[Request]:
    """Prompts of ten paragraphs' length, each a little different."""
    context = "The Zambezi is the fourth-longest river in Africa. " * 80
    return [
        Request(
            key=f"{number:064d}",
            question_id=f"q{number}",
            messages=[Message("system", "Answer from the context."), Message("user", f"{context}Question {number}?")],
            schema={"type": "object", "properties": {"answer": {"type": "string"}}},
            sentences=SENTENCES,
        )
        for number in range(count)
    ]


class Run(NamedTuple):
    """Requests per second over a whole run and over its second half, and CPU milliseconds for each request."""

    rate: float
    late_rate: float
    cpu_ms: float


def run_hopeval(url: str, count: int, concurrency: int | str, **settings: Any) -> Run:
    """By ``hopeval infer`` as it is, and each text parsed. The clock runs from the first request on."""
    reader = {"engine": "openai", "base_url": url, "model": "m", "concurrency": concurrency, **settings}
    begun, done = list[float](), list[float]()

    def hear(response: Response) -> None:
        parse(response.text, "json", SENTENCES, response.finish_reason)
        done.append(time.perf_counter())
        begun.append(done[-1] - response.latency_s)

    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        write_records(folder / "requests.jsonl", requests_of(count))
        arguments = ["--reader=r", f"--settings={json.dumps(reader)}", f"--requests={folder}/requests.jsonl"]
        arguments += [f"--journal={folder}/journal", f"--output={folder}/responses.jsonl"]
        parser = argparse.ArgumentParser()
        infer.add_arguments(parser)
        cpu = time.process_time()
        infer.run(parser.parse_args(arguments), hear)
        cpu = time.process_time() - cpu
    half = count // 2
    return Run(count / (done[-1] - min(begun)), (count - half) / (done[-1] - done[half]), cpu / count * 1000)


def body_of(request: Request) -> dict[str, Any]:
    """What an endpoint is sent."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    return {"model": "m", "messages": messages}


async def run_aiohttp(url: str, count: int, in_flight: int) -> Run:
    """By aiohttp and nothing else: no file, no retries, no pacing, no parsing of answers."""
    requests = iter(requests_of(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def work() -> None:
            for request in requests:
                async with session.post(f"{url}/chat/completions", json=body_of(request)) as reply:
                    (await reply.json())["choices"][0]["message"]["content"]

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(in_flight)))
        rate = count / (time.perf_counter() - begun)
    return Run(rate, rate, (time.process_time() - cpu) / count * 1000)


def run_threads(url: str, count: int, threads: int) -> Run:
    """The usual script: a thread for each request in flight."""
    import requests as client

    session = client.Session()

    def post(request: Request) -> float:
        session.post(f"{url}/chat/completions", json=body_of(request)).json()["choices"][0]["message"]["content"]
        return time.perf_counter()

    begun, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(post, requests_of(count)))
    rate = count / (time.perf_counter() - begun)
    return Run(rate, rate, (time.process_time() - cpu) / count * 1000)


def measure_rate(rounds: int, seconds: int) -> bool:
    """Print the rate with 64 and 256 in flight against the ideal, that of aiohttp, and that of the usual script."""
    met = list[bool]()
    with endpoint("steady") as url:
        for in_flight in (64, 256):
            ideal = in_flight / LATENCY_S
            runs, bare = list[Run](), list[Run]()
            for _ in range(rounds):
                runs.append(run_hopeval(url, int(ideal * seconds), in_flight))
                bare.append(asyncio.run(run_aiohttp(url, int(ideal * seconds), in_flight)))
            rate, cpu = show("hopeval", in_flight, runs)
            _, bare_cpu = show("aiohttp", in_flight, bare)
            print(f"CPU, to that of aiohttp alone: {cpu / bare_cpu:.2f}")
            met += [
                goal(f"requests/s with {in_flight} in flight at an endpoint, to the ideal", rate / ideal, least=GOAL),
                goal(f"milliseconds of CPU for each request, {in_flight} in flight", cpu, most=GOAL_CPU_MS),
            ]
        for threads in (4, 8):
            run = run_threads(url, int(threads / LATENCY_S * 5), threads)
            print(f"usual script, {threads} threads {run.rate:6.0f} requests/s, {run.cpu_ms:.2f} ms of CPU each")
    return all(met)


def show(name: str, in_flight: int, runs: list[Run]) -> tuple[float, float]:
    """Print and give the medians: requests a second, and CPU milliseconds for each."""
    rate, cpu = (statistics.median(values) for values in ([r.rate for r in runs], [r.cpu_ms for r in runs]))
    shown = ", ".join(f"{run.rate:.0f}" for run in runs)
    print(f"{name}, {in_flight:3} in flight   {rate:6.0f} requests/s ({shown}), {cpu:.2f} ms of CPU each", flush=True)
    return rate, cpu


def measure_auto(kind: str, seconds: int) -> bool:
    """Print the rates of fixed numbers in flight and of ``auto`` at an endpoint with a limited capacity."""
    fixed = {}
    count = int(CAPACITY / LATENCY_S * seconds)
    with endpoint(kind) as url:
        for in_flight in (16, 32, 40, 48, 56, 64):
            # Past the capacity an endpoint that refuses costs retries and pauses: a shorter run shows it.
            fixed[in_flight] = run_hopeval(url, count // 3, in_flight, attempts=50).late_rate
            print(f"{kind} past {CAPACITY}: {in_flight:3} in flight {fixed[in_flight]:6.0f} requests/s")
        best = max(fixed, key=lambda in_flight: fixed[in_flight])
        auto = run_hopeval(url, count, "auto")
    print(f"{kind} past {CAPACITY}: auto          {auto.late_rate:6.0f} requests/s, {auto.rate:.0f} with its search")
    ratio = auto.late_rate / fixed[best]
    return goal(f"requests/s with auto at an endpoint that {kind} past {CAPACITY}, to the best", ratio, least=GOAL_AUTO)


def main() -> int:
    """Read the arguments, measure, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement of the rate")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="that one of them takes at least")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "PORT"), help="be an endpoint")
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(int(args.serve[1]), args.serve[0]))
    met = [measure_rate(args.rounds, args.seconds)]
    met += [measure_auto(kind, 2 * args.seconds) for kind in ("slows", "refuses")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(os.sched_getaffinity(0))} cores, peak memory {peak:.0f} MB")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
