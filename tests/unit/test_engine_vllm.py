"""vLLM's settings and surroundings as far as they need no vLLM; the engine itself is tested in tests/vllm."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from hopeval.config import parse_reader
from hopeval.engines.base import Setup
from hopeval.engines.vllm import VLLMEngine
from hopeval.engines.vllm_options import engine_arguments, memory_advice, memory_fraction, parallel_sizes
from hopeval.engines.vllm_process import reason, surroundings, turn_to_load
from hopeval.errors import HopevalError, InputError

WORKFLOW = Path(__file__).parents[2] / "workflow"


class Backend(Enum):
    """Like some of vLLM's: written by its name, which only vLLM knows how to read."""

    FLASH = "vllm.somewhere.Flash"


@dataclass
class Section:
    """Like vLLM's sections."""

    level: int = 0


KNOWN = {
    "model": str,
    "revision": str | None,
    "tensor_parallel_size": int,
    "pipeline_parallel_size": int,
    "data_parallel_size": int,
    "distributed_executor_backend": str | None,
    "dtype": Literal["auto", "bfloat16"],
    "max_num_seqs": int | None,
    "max_model_len": int,
    "gpu_memory_utilization": float,
    "enforce_eager": bool,
    "stop": list[str],
    "attention_backend": Backend | None,
    "compilation_config": Section,
    "structured_outputs_config": dict,
    "speculative_config": dict | None,
}


def reader(**settings):
    return parse_reader({"engine": "vllm", "model": "m", **settings})


def arguments(**settings):
    return engine_arguments(reader(**settings), "/m", KNOWN)


def test_a_readers_section_becomes_arguments():
    found = arguments(context_window=512, gpus=2, options={"dtype": "bfloat16", "gpu_memory_utilization": 1})
    assert found == {
        "model": "/m",
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 1,
        "max_model_len": 512,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "structured_outputs_config": {"backend": "guidance"},
        "dtype": "bfloat16",
        "gpu_memory_utilization": 1,
    }


def test_options_beat_what_is_only_a_default():
    options = {"max_model_len": 99, "structured_outputs_config": {"backend": "xgrammar", "enable_in_reasoning": True}}
    found = arguments(options={**options, "tensor_parallel_size": 1, "default_chat_template_kwargs": {"a": 1}})
    assert found.items() >= options.items()
    assert "default_chat_template_kwargs" not in found


def test_sections_and_names_of_vllms_own_are_left_to_it():
    options = {"compilation_config": {"level": 3}, "attention_backend": "FLASH", "speculative_config": {"method": "x"}}
    found = arguments(options=options)
    assert found.items() >= {**options, "compilation_config": Section(3)}.items()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_num_seq": 1}, "options.max_num_seq: vLLM has no such argument (did you mean 'max_num_seqs'?)"),
        ({"zzz": 1}, "options.zzz: vLLM has no such argument; see its AsyncEngineArgs"),
        ({"default_chat_template_kwarg": {}}, "(did you mean 'default_chat_template_kwargs'?)"),
        ({"max_num_seqs": "8"}, "options.max_num_seqs: found '8': Input should be a valid integer"),
        ({"max_num_seqs": True}, "options.max_num_seqs: found True: Input should be a valid integer"),
        ({"enforce_eager": 1}, "options.enforce_eager: found 1: Input should be a valid boolean"),
        ({"dtype": "int3"}, "options.dtype: found 'int3': Input should be 'auto' or 'bfloat16'"),
        ({"stop": ["a", 1]}, "options.stop: found ['a', 1]: 1: Input should be a valid string"),
        ({"compilation_config": {"lvl": 3}}, "options.compilation_config: found {'lvl': 3}: "),
        ({"model": "/other"}, "options.model: is not set here, but by the reader's model"),
        ({"revision": "main"}, "but by the reader's model: {repo, revision}; take it out of options"),
        ({"tensor_parallel_size": 2}, "options.tensor_parallel_size: is not set here, but by the reader's tensor_"),
        ({"data_parallel_size": 2}, "options.data_parallel_size: a job has one engine on one host; take more shards"),
        ({"distributed_executor_backend": "ray"}, "a job's engine is on one host"),
    ],
)
def test_wrong_options_are_told(options, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        arguments(options=options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({}, (1, 1)),
        ({"gpus": 1}, (1, 1)),
        ({"gpus": 4}, (4, 1)),
        ({"gpus": 4, "pipeline_parallel": 2}, (2, 2)),
        ({"gpus": 4, "tensor_parallel": 1}, (1, 4)),
        ({"gpus": 6, "tensor_parallel": 2, "pipeline_parallel": 3}, (2, 3)),
    ],
)
def test_a_model_is_split_over_all_gpus_of_its_job(settings, sizes):
    assert parallel_sizes(reader(**settings)) == sizes


@pytest.mark.parametrize(
    "settings",
    [
        {"gpus": 4, "tensor_parallel": 2, "pipeline_parallel": 1},
        {"gpus": 4, "tensor_parallel": 3},
        {"gpus": 2, "tensor_parallel": 4},
        {"tensor_parallel": 2},
        {"pipeline_parallel": 2},
    ],
)
def test_sizes_that_do_not_make_up_the_gpus_are_refused(settings):
    with pytest.raises(InputError, match=r"^tensor_parallel: \d × pipeline_parallel \d are \d GPUs, but gpus is \d"):
        parallel_sizes(reader(**settings))


def test_jobs_that_share_a_gpu_divide_its_memory():
    options = {"gpu_memory_utilization": 0.9}
    assert memory_fraction(reader(gpus=1, share=3, options=options), 1, on_cpu=False) == pytest.approx(0.3)
    assert memory_fraction(reader(gpus=1, share=2), 1, on_cpu=False) == pytest.approx(0.46)


def test_without_gpus_a_job_takes_of_the_memory_what_it_takes_of_the_cores():
    cores = len(os.sched_getaffinity(0))
    assert memory_fraction(reader(), 1, on_cpu=True) == pytest.approx(0.92 / cores)
    assert memory_fraction(reader(), cores * 2, on_cpu=True) == pytest.approx(0.92)
    assert memory_fraction(reader(options={"gpu_memory_utilization": 0.5}), 1, on_cpu=True) == 0.5


def test_advice_names_what_was_asked_for_and_the_keys():
    found = {"gpu_memory_utilization": 0.46, "max_model_len": 4096}
    advice = memory_advice(reader(gpus=1, share=2), found)
    assert "gpu_memory_utilization 0.46 (1/2 of 0.92, share), max_model_len 4096, max_num_seqs as vLLM" in advice
    for key in ("options.gpu_memory_utilization", "context_window", "options.max_num_seqs", "share"):
        assert key in advice.partition("lower ")[2]
    assert "share" not in memory_advice(reader(gpus=1), found)


# Surroundings


def test_surroundings_are_set_and_put_back(monkeypatch, tmp_path):
    monkeypatch.setenv("VLLM_PORT", "29000")
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with surroundings([], 2) as folder:
        assert "VLLM_PORT" not in os.environ
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
        assert os.environ["VLLM_CACHE_ROOT"] == str(tmp_path / "hopeval" / "cpu")
        assert {os.environ[name] for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_OFFLINE")} == {"1"}
        with surroundings(["3", "GPU-ab/1"], 2) as other:
            assert other != folder
            assert os.environ["VLLM_CACHE_ROOT"].endswith("/hopeval/3_GPU_ab_1")
    assert dict(os.environ) == before
    assert not folder.exists()


def test_sockets_fit_into_their_folder(monkeypatch, tmp_path):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with surroundings([], 1) as folder:
        assert len(str(folder)) <= 60


def test_the_first_error_is_the_reason(tmp_path):
    assert reason(tmp_path) == ""
    traceback = "Traceback (most recent call last):\n  File 'w.py', line 1\n"
    dead = f"failed\n{traceback}x.EngineDeadError: see above\n"
    worker = f"WorkerProc failed to start.\n{traceback}ValueError: no\nroom\n"
    core = f"EngineCore failed to start.\n{traceback}Exception: see above\n"
    (tmp_path / "errors").write_text("".join(f"\x1e{record}" for record in (dead, worker, core)))
    assert reason(tmp_path) == "ValueError: no room"


def test_missing_library_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vllm", None)
    (tmp_path / "config.json").write_text("{}")

    async def run():
        engine = VLLMEngine(Setup(reader(), tmp_path))
        try:
            await engine.open()
        finally:
            await engine.close()

    with pytest.raises(InputError, match=r"^engine: vllm cannot be loaded: .*envs/vllm\.yaml"):
        asyncio.run(run())


# Taking turns

HOLD = """
import sys
from hopeval.engines.vllm_process import turn_to_load
with turn_to_load(sys.argv[1:], lambda: False):
    print("loading", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def neighbour(monkeypatch, tmp_path):
    """Starts a process that loads on these devices until it is killed."""
    monkeypatch.setenv("HOPEVAL_LOCKS", str(tmp_path))
    started = []

    def start(*devices):
        command = [sys.executable, "-c", HOLD, *devices]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(WORKFLOW)},
        )
        started.append(process)
        assert process.stdout.readline() == "loading\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_one_loads_at_a_time_on_a_device_and_a_dead_one_makes_room(neighbour, capsys):
    first = neighbour("1", "0")
    loaded = threading.Event()

    def load():
        with turn_to_load(["2", "1"], lambda: False):
            loaded.set()

    waiting = threading.Thread(target=load)
    waiting.start()
    assert not loaded.wait(0.5)
    first.kill()
    assert loaded.wait(20)
    waiting.join()
    assert capsys.readouterr().err == "waiting while another job loads its model on device 1\n"


def test_other_devices_are_loaded_at_the_same_time(neighbour):
    neighbour("0")
    neighbour("1")
    neighbour()
    latest = time.monotonic() + 60
    with turn_to_load(["2"], lambda: time.monotonic() > latest):  # raises when it had to wait until then
        pass


def test_who_is_told_to_end_waits_no_longer(neighbour):
    neighbour("0")
    begun = time.monotonic()
    with (
        pytest.raises(HopevalError, match="told to end while waiting"),
        turn_to_load(["0"], lambda: time.monotonic() > begun + 0.3),
    ):
        pass
