"""A server of the job's own is waited for, told about when it fails, and gone in the end whatever happens."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from endpoint import answer_to
from hopeval.config import parse_reader
from hopeval.engines import guard
from hopeval.engines.base import EngineFailed, Setup
from hopeval.engines.server import Server
from hopeval.errors import InputError
from hopeval.io import read_records
from hopeval.records import Response
from waiting import wait_until

ENDPOINT = f"{shlex.quote(sys.executable)} {Path(__file__).resolve().parents[1] / 'endpoint.py'} --port {{port}}"


def settings(command, **serve):
    return {"engine": "openai", "model": "m", "concurrency": 4, "serve": {"command": command, **serve}}


def server(command, model=None, threads=1, devices=(), **serve):
    reader = parse_reader(settings(command, **({"model": str(model)} if model else {}), **serve), "r")
    return Server(Setup(reader, model, threads, devices))


def start(server):
    """Starts it, and ends it whatever came: its address."""

    async def main():
        try:
            return await server.start()
        finally:
            await server.stop()

    return asyncio.run(asyncio.wait_for(main(), 60))


def runs(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def pids(tmp_path):
    """Where the server writes its own process and that of a child with a session of its own."""

    path = tmp_path / "pids"

    def read():
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    yield SimpleNamespace(path=path, read=read, gone=lambda: not any(map(runs, read())))
    for pid in filter(runs, read()):
        os.kill(pid, signal.SIGKILL)


def test_health_is_waited_for(capfd):
    begun = time.monotonic()
    url = start(server(f"{ENDPOINT} --start-after 0.7"))
    assert time.monotonic() - begun >= 0.7
    assert url.startswith("http://127.0.0.1:")
    assert url.endswith("/v1")
    out = capfd.readouterr().out
    assert f"starting {sys.executable}" in out
    assert "listening on" in out  # what it writes is in the log


def test_a_command_that_is_not_there_is_the_users_mistake():
    with pytest.raises(InputError, match=r"serve.command: found 'vlm'; there is no such program"):
        start(server("vlm serve --port {port}"))


def test_a_server_that_ends_early_is_told_with_its_exit_code(capfd):
    command = f"{shlex.quote(sys.executable)} -c 'import sys; sys.exit(\"no memory, said {{port}}\")'"
    with pytest.raises(EngineFailed, match="the server ended with exit code 1; what it wrote stands above"):
        start(server(command))
    assert "no memory, said " in capfd.readouterr().err


def test_a_server_that_is_killed_is_told_as_a_shell_would():
    command = f"{shlex.quote(sys.executable)} -c 'import os; os.kill(os.getpid(), 9)' {{port}}"
    with pytest.raises(EngineFailed, match="the server ended with exit code 137"):
        start(server(command))


def test_a_server_that_never_gets_healthy_is_told_and_ended(pids):
    command = f"{ENDPOINT} --health 503 --pids {pids.path}"
    with pytest.raises(EngineFailed, match=r"/health did not answer 200 within 4 s \(serve.start_s\)"):
        start(server(command, start_s=4.0))
    assert pids.gone()


def test_another_path_may_tell_of_its_health():
    assert start(server(ENDPOINT, health="/v1/models"))


def test_stop_ends_it_and_all_its_children_even_those_that_ignore_to_be_told(pids):
    start(server(f"{ENDPOINT} --pids {pids.path} --deaf-child"))
    assert len(pids.read()) == 2
    assert pids.gone()


def test_what_stands_for_the_jobs_own(write):
    model = write("a model.gguf", "")
    command = "serve '{model}' --port {port} -t {threads} -g {gpus} -c {context_window} '{\"a\": {}}' {unknown}"
    found = server(command, model, threads=3, devices=["0", "5"])._command(8123)
    assert found == [
        "serve",
        str(model),
        "--port",
        "8123",
        "-t",
        "3",
        "-g",
        "2",
        "-c",
        "4096",
        '{"a": {}}',
        "{unknown}",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_guard_ends_by_its_pipe_alone(number):
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    process = subprocess.Popen(
        [sys.executable, guard.__file__, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    time.sleep(0.5)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(60) == 128 + signal.SIGTERM
    process.stdout.close()


def test_the_guard_gives_the_exit_code_on():
    def code(command):
        with subprocess.Popen([sys.executable, guard.__file__, "sh", "-c", command], stdin=subprocess.PIPE) as process:
            return process.wait(60)

    assert [code("exit 0"), code("exit 5"), code("kill -9 $$")] == [0, 5, 137]


# From here on: `hopeval infer` as a real process, with a server of its own.


@pytest.fixture
def requests(make_request):
    return [make_request(f"q{number}", content=f"Who is q{number}?") for number in range(40)]


def answered(inference):
    return [
        r.text for path in inference.journal.glob("*.jsonl") for r in read_records(path, Response) if r.error is None
    ]


def test_a_job_uses_its_server_and_ends_it(inference, requests, pids):
    # A proxy is for the world outside.
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    result = inference.run(requests, settings(f"{ENDPOINT} --pids {pids.path}"), **proxy)
    assert result.code == 0, result.err
    assert [r.text for r in read_records(inference.output, Response)] == [
        answer_to(request.messages[0].content) for request in requests
    ]
    assert len(pids.read()) == 2
    assert pids.gone()


def test_no_server_is_started_when_all_is_journaled(inference, requests, pids):
    command = f"{ENDPOINT} --pids {pids.path}"
    assert inference.run(requests, settings(command)).code == 0
    pids.path.unlink()
    assert inference.run(requests, settings(command)).code == 0
    assert not pids.path.exists()


def test_a_server_that_ends_half_way_ends_the_job_with_its_reason(inference, requests, pids):
    result = inference.run(requests, settings(f"{ENDPOINT} --ends-at 20 --pids {pids.path}"))
    assert result.code == 1
    assert "serve.command: the server ended with exit code 7; what it wrote stands above" in result.err
    assert result.err.count("\n") == 1
    assert 10 <= len(answered(inference)) < 20
    assert pids.gone()


def test_kill_9_ends_the_server_and_its_grandchild(inference, requests, pids):
    process = inference.start(requests, settings(f"{ENDPOINT} --latency 1 --pids {pids.path}"))
    wait_until(lambda: answered(inference))
    assert len(pids.read()) == 2
    process.kill()
    process.wait()
    wait_until(pids.gone)


def test_sigterm_to_the_whole_group_lets_the_server_finish_what_is_in_flight(inference, requests, pids):
    reader = settings(f"{ENDPOINT} --latency 0.8 --pids {pids.path}")
    process = inference.start(requests, reader)
    wait_until(lambda: len(answered(inference)) >= 4)
    time.sleep(0.3)  # four more are in flight
    os.killpg(process.pid, signal.SIGTERM)
    result = inference.finish(process)
    assert result.code == 1
    assert "told to end; all answers so far are kept" in result.err
    assert len(answered(inference)) % 4 == 0
    assert len(answered(inference)) >= 8
    assert pids.gone()
