"""``hopeval tune`` with real infer jobs: an endpoint, a server of its own, an engine of one's own, the real model."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from endpoint import Endpoint, refuses, resets
from hopeval.io import write_records
from hopeval.tuning import cells
from hopeval.tuning.findings import read_findings
from hopeval.tuning.machine import cores
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 300
SHORT_S = 0.5


BRIEFLY = f"""
import sys
from hopeval.__main__ import main
from hopeval.tuning import tuner

tuner._LONGEST_S = {SHORT_S}
sys.exit(main())
"""


@pytest.fixture
def tune(hopeval, make_request, tmp_path, monkeypatch):
    """Runs tune, as long as this machine needs: what it printed, and what it measured.

    Each measurement is as short as can be. How fast anything was is no test's business here: that
    recommendations follow from rates is for tests/unit/test_tuning_*.py.
    """
    monkeypatch.setattr("hopeval.tuning.tuner._LONGEST_S", SHORT_S)
    monkeypatch.setattr("hopeval.tuning.trial._LOOK_AT_MEMORY_S", 0.2)
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    write_records(
        tmp_path / "requests.jsonl",
        [make_request(f"q{i}", n, f"Who is q{i}, {n}?", tokens_estimate=i) for i in range(40) for n in range(2)],
    )

    def run(settings, *more, minutes=30, repeats=2):
        arguments = ["--reader", "r", "--settings", json.dumps(settings), "--requests", tmp_path / "requests.jsonl"]
        arguments += ["--output", tmp_path / "out" / "tuning.json", "--minutes", minutes, "--repeats", repeats]
        out = hopeval("tune", *arguments, *more)
        findings = json.loads((tmp_path / "out" / "tuning.json").read_text())
        return out, findings

    return run


def at(endpoint, **settings):
    return {"engine": "openai", "base_url": endpoint.url, "model": "m", **settings}


def measured(findings):
    """The results by requests in flight."""
    return {result["cell"].get("concurrency"): result for result in findings["results"]}


def test_an_endpoint_that_slows_down(tune, tmp_path):
    with Endpoint(latency_s=0.2, capacity=2) as endpoint:
        out, findings = tune(at(endpoint), "--write", tmp_path / "tuned.yaml")
    found = measured(findings)
    assert list(found)[:2] == [1, 2]
    assert found[1]["rates"]
    assert found[2]["rates"]
    assert "in flight" in out
    assert "◄" in out
    assert (tmp_path / "out" / "tuning.svg").exists()
    # Whether the machine was quiet enough for a recommendation or not: both have their line.
    written = yaml.safe_load((tmp_path / "tuned.yaml").read_text())["readers"]
    if "recommended: " in out:
        assert written["r"]["concurrency"] in found
        assert written["r"]["shards"] == 1
    else:
        assert "no recommendation: " in out
        assert written == {}


def test_an_endpoint_that_fails_past_so_many_in_flight(tune):
    with Endpoint(latency_s=0.1, capacity=3, past="429") as endpoint:
        out, findings = tune(at(endpoint))
    found = measured(findings)
    assert set(found) <= {1, 2, 4, 3}
    (taken,) = re.findall(r"readers: \{r: \{shards: 1, concurrency: (\d+)\}\}", out)
    assert int(taken) <= 3


def test_an_endpoint_that_breaks_down_ends_the_climb_and_not_the_run(tune):
    """As soon as two calls are in flight, and from then on, every connection is reset."""
    broken = []

    def behave(call):
        broken.extend([call] if call.in_flight > 1 else [])
        return resets if broken else None

    with Endpoint(behave, latency_s=0.05) as endpoint:
        out, findings = tune(at(endpoint))
    assert list(measured(findings)) == [1, 2]
    assert findings["results"][0]["rates"]
    assert "left out: " in out or "failed" in out
    assert len(endpoint.calls) - endpoint.calls.index(broken[0]) < 200  # what is dead is left alone


def test_an_endpoint_that_is_not_there(tune):
    with Endpoint() as endpoint:
        gone = at(endpoint)
    out, findings = tune(gone)
    (only,) = findings["results"]
    assert only["left_out"]
    assert "no recommendation: nothing could be measured" in out


def test_a_refused_key_is_told_before_anything_is_measured(refused, tune, tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "sk-very-secret")
    with Endpoint(key="another") as endpoint:
        settings = json.dumps(at(endpoint, api_key_env="KEY"))
        files = ["--requests", tmp_path / "requests.jsonl", "--output", tmp_path / "out.json"]
        told = refused("tune", "--reader", "r", "--settings", settings, *files)
    assert "the key was refused" in told
    assert "sk-very-secret" not in told
    assert not (tmp_path / "out.json").exists()


def test_now_and_then_a_429_does_not_matter(tune):
    with Endpoint(lambda call: refuses(429) if call.number % 50 == 0 else None, latency_s=0.1, capacity=2) as endpoint:
        _, findings = tune(at(endpoint), repeats=1)
    assert list(measured(findings))[:2] == [1, 2]


def test_a_server_of_the_readers_own_is_started_once(tune, tmp_path):
    pids = tmp_path / "pids"
    command = f"{sys.executable} {ROOT / 'tests/endpoint.py'} --port {{port}} --latency 0.2 --capacity 2 --pids {pids}"
    out, findings = tune({"engine": "openai", "model": "m", "serve": {"command": command}}, repeats=1)
    log = (tmp_path / "out" / "tuning.server.log").read_text()
    assert log.count("listening on") == 1
    assert 2 in measured(findings)
    assert "shards" not in out.splitlines()[-1]  # each job has a server of its own
    assert not any(Path("/proc", pid).exists() for pid in pids.read_text().split())


def test_an_engine_of_ones_own(tune, tmp_path):
    calls = tmp_path / "calls"
    settings = {"engine": "engines:CountingEngine", "options": {"delay_s": 0.2, "at_once": 2, "calls": str(calls)}}
    out, findings = tune(settings, repeats=1)
    assert all(measured(findings)[level]["rates"] for level in (1, 2))
    assert "readers: {r: {concurrency: " in out


def test_nothing_is_left_behind(tune, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with Endpoint(latency_s=0.1, capacity=1) as endpoint:
        tune(at(endpoint), repeats=1)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} >= {"out", "requests.jsonl"}
    assert not list(tmp_path.rglob("journal"))


@pytest.fixture
def started(environment, tmp_path):
    """Starts Python with a session and lock files of its own, in the test's folder; in the end it is killed."""

    @contextlib.contextmanager
    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=environment(HOPEVAL_LOCKS=str(tmp_path / "own-locks")),
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return start


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_told_to_end_it_leaves_no_job_behind(tune, started, tmp_path, end):
    # No job comes to its end by itself.
    settings = json.dumps({"engine": "engines:CountingEngine", "options": {"delay_s": 3600, "calls": "calls"}})
    files = ["--requests", tmp_path / "requests.jsonl", "--output", tmp_path / "out.json"]
    with started("-m", "hopeval", "tune", "--reader", "r", "--settings", settings, *files) as process:
        wait_until((tmp_path / "calls").exists)
        assert len(processes_with(tmp_path)) >= 2
        process.send_signal(end)
        assert process.wait(HANG_S) == (-end if end == signal.SIGKILL else 130)
        wait_until(lambda: not processes_with(tmp_path))  # what is killed takes a moment to be gone
    assert not (tmp_path / "out.json").exists()


def test_interrupted_it_keeps_what_was_measured(tune, started, tmp_path):
    options = {"engine": "engines:CountingEngine", "options": {"delay_s": 0.1}}
    files = {"requests": tmp_path / "requests.jsonl", "output": tmp_path / "out.json"}
    arguments = {"reader": "r", "settings": json.dumps(options), "minutes": 30, **files}
    with started("-c", BRIEFLY, "tune", *(f"--{name}={value}" for name, value in arguments.items())) as process:
        wait_until((tmp_path / "out.json").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_S) == 130
    assert read_findings(tmp_path / "out.json").results[0].rates


def processes_with(folder):
    """The processes that have the folder in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            found += [path] if str(folder / "own-locks").encode() in path.read_bytes() else []
    return found


def llamacpp(**settings):
    return {"engine": "llamacpp", "model": "-", "context_window": 512, "sampling": {"max_tokens": 2}, **settings}


def test_the_real_model(tune, model):
    out, findings = tune(llamacpp(), "--model", model, "--threads", 2, repeats=1)
    splits = {(r["cell"]["shards"], r["cell"]["threads"]): r for r in findings["results"] if "options" not in r["cell"]}
    physical, logical = findings["cores"]
    assert set(splits) == {*cells.splits(physical), *cells.splits(logical)}
    one = splits[(1, physical)]
    assert one["rates"]
    assert 50 < one["memory_mb"] < 2000
    assert one["tokens"][0] > one["rates"][0]
    assert all(0 <= share <= 1 for share in one.get("others", []))  # under a cgroup quota nobody looks
    assert "no recommendation: it was measured only once" in out
    assert "unsure; tune again when nothing else runs: readers: {r: {shards: " in out


@pytest.mark.skipif(cores().by_quota, reason="under a cgroup quota nobody looks at what others take")
def test_busy_cores_are_told_and_nothing_is_recommended(tune, model, environment, tmp_path):
    """In a process of its own: what burns the cores is ours, not its."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores().logical)]
    files = {"model": model, "requests": tmp_path / "requests.jsonl", "output": tmp_path / "tuning.json"}
    arguments = {"reader": "r", "settings": json.dumps(llamacpp()), "minutes": 30, "write": tmp_path / "tuned.yaml"}
    try:
        tuning = subprocess.run(
            [
                sys.executable,
                "-c",
                BRIEFLY,
                "tune",
                *(f"--{name}={value}" for name, value in (arguments | files).items()),
            ],
            env=environment(HOPEVAL_LOCKS=str(tmp_path / "own-locks")),
            capture_output=True,
            text=True,
            timeout=1800,
        )
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert tuning.returncode == 0, tuning.stderr
    assert "no recommendation: " in tuning.stdout
    assert "other programs took" in tuning.stdout
    assert yaml.safe_load((tmp_path / "tuned.yaml").read_text()) == {"readers": {}}


def test_what_memory_does_not_hold_is_left_out(tune, model, monkeypatch):
    monkeypatch.setattr("hopeval.tuning.tuner.free_memory", lambda: 50_000_000)
    out, findings = tune(llamacpp(), "--model", model, repeats=1)
    assert all("MB are free" in result["left_out"] for result in findings["results"])
    assert "no recommendation: nothing could be measured" in out


def test_a_further_model_that_is_none_costs_only_itself(tune, model, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"nothing of the kind")
    out, findings = tune(llamacpp(), "--model", model, tmp_path / "bad.gguf", repeats=1)
    *own, bad = findings["results"]
    assert any(result["rates"] for result in own if "rates" in result)
    assert "llama.cpp cannot load" in bad["left_out"]
    assert "left out: as configured: " in out


def test_a_server_that_does_not_start_ends_its_branch(tune):
    command = f"{sys.executable} -c exit(3) {{port}}"
    out, _ = tune({"engine": "openai", "model": "m", "serve": {"command": command}})
    assert "the server ended with exit code 3" in out
    assert "no recommendation: nothing could be measured" in out


def test_quantisations_side_by_side(tune, model, tmp_path):
    other = shutil.copy(model, tmp_path / "other.gguf")
    out, findings = tune(llamacpp(), "--model", model, other, repeats=1)
    assert findings["models"] == [str(model), str(other)]
    assert {result["model"] for result in findings["results"]} == set(findings["models"])
    assert "other.gguf: " in out


# What is wrong is told at once.


@pytest.fixture
def refused_with(refused, tune, tmp_path):
    def run(settings, *more):
        arguments = ["--reader", "r", "--settings", json.dumps(settings), "--output", tmp_path / "out.json", *more]
        if "--requests" not in more:
            arguments += ["--requests", tmp_path / "requests.jsonl"]
        return refused("tune", *arguments)

    return run


def test_a_model_that_is_none(refused_with, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"nothing of the kind")
    assert "llama.cpp cannot load" in refused_with(llamacpp(), "--model", tmp_path / "bad.gguf")
    assert "none.gguf: no model file or folder there" in refused_with(llamacpp(), "--model", tmp_path / "none.gguf")


def test_an_option_that_does_not_exist(refused_with, model):
    told = refused_with(llamacpp(options={"n_btch": 1}), "--model", model)
    assert "options.n_btch: llama.cpp has no such parameter" in told


def test_settings_that_are_wrong(refused_with):
    assert "readers.r.thread: unknown key (did you mean 'threads'?)" in refused_with(llamacpp(thread=1))


def test_no_gpus_for_vllm(refused_with, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "readers.r.gpus: 1 asked for, 0 visible" in refused_with({"engine": "vllm", "model": "m", "gpus": 1})


def test_no_requests(refused_with, write):
    assert "holds no requests" in refused_with(llamacpp(), "--requests", write("none.jsonl", ""))


def test_neither_settings_nor_measurements(refused):
    assert "--reader is missing" in refused("tune")


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan"])
def test_minutes_that_are_none(minutes, capsys):
    from hopeval.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(["tune", "--minutes", minutes])
    assert ended.value.code == 2
    assert "is not a number of minutes above 0" in capsys.readouterr().err
