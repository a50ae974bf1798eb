"""What vLLM's processes need around them: an environment, their turn at loading, and an end with their parent.

vLLM computes in processes of its own: the engine core and, for several GPUs or on the CPU, workers. They
must not die of a signal that is meant for the job (SLURM sends SIGTERM to all processes of a step, and
what is in flight is to be finished), nor outlive it, however it ends.
"""

import ctypes
import fcntl
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from hopeval.devices import lock_folder
from hopeval.errors import HopevalError

_PR_SET_PDEATHSIG = 1
_RECORD = "\x1e"
_SOCKET_PATH_MOST = 60
"""Bytes for the folder of vLLM's sockets: with a name of 36 characters a path may have 107."""


@contextmanager
def surroundings(devices: Sequence[str], threads: int) -> Iterator[Path]:
    """The environment that vLLM needs, before anything of it is imported, and a folder for this engine's files.

    What the user has set stays, but for what would let engines meet each other or the internet. All is put
    back in the end.
    """
    outside = dict(os.environ)
    folder = _own_folder()
    try:
        os.environ.update(_forced(folder, devices))
        # vLLM's processes meet over sockets and files with names of their own. Where it takes a TCP port all the
        # same, the kernel chooses one that is free; a first port would be the same for all engines on the host.
        os.environ.pop("VLLM_PORT", None)
        for name, value in _defaults(folder, devices, threads).items():
            os.environ.setdefault(name, value)
        yield folder
    finally:
        os.environ.clear()
        os.environ.update(outside)
        shutil.rmtree(folder, ignore_errors=True)


def _forced(folder: Path, devices: Sequence[str]) -> dict[str, str]:
    return {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",  # the model is a folder
        "VLLM_CACHE_ROOT": str(_cache(devices)),
        "VLLM_RPC_BASE_PATH": str(folder),
        # A forked child would have this process's locks without the threads that hold them.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    }


def _defaults(folder: Path, devices: Sequence[str], threads: int) -> dict[str, str]:
    always = {
        "VLLM_ENGINE_READY_TIMEOUT_S": "1800",  # from a slow disk large weights take longer than vLLM's 600
        "VLLM_LOGGING_CONFIG_PATH": str(_logging(folder)),
    }
    if devices:
        return always
    # Bound to cores, as by default, all jobs on the machine would sit on the same ones.
    own_cores = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    return always | own_cores


def _own_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="hopeval-vllm-")
    if len(folder) > _SOCKET_PATH_MOST:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="hopeval-vllm-", dir="/tmp")
    return Path(folder)


def _cache(devices: Sequence[str]) -> Path:
    """One folder for each set of devices, kept for later jobs.

    Compiled code is worth a minute, so that the folder must not be a new one each time; but two engines that
    write the same entry read each other's halves (vLLM renames some of its files into place, not all). Jobs
    on one set of devices load one after the other, and all of this is written while loading.
    """
    root = Path(os.environ.get("VLLM_CACHE_ROOT") or Path(_cache_home(), "vllm"))
    return root / "hopeval" / (re.sub(r"\W", "_", "-".join(sorted(devices))) or "cpu")


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _logging(folder: Path) -> Path:
    """A logging configuration: all to stderr as vLLM has it, and errors to a file that ``reason`` reads."""
    level = os.environ.get("VLLM_LOGGING_LEVEL", "INFO").upper()
    line = "%(levelname)s %(asctime)s (%(vllm_process_name)s %(process)d) %(message)s"
    errors = {"class": "logging.FileHandler", "filename": str(folder / "errors"), "delay": True, "level": "ERROR"}
    settings = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {"format": line, "datefmt": "%H:%M:%S"},
            "record": {"format": f"{_RECORD}%(message)s"},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "line"},
            "errors": {**errors, "formatter": "record"},
        },
        "loggers": {"vllm": {"handlers": ["stderr", "errors"], "level": level, "propagate": False}},
    }
    path = folder / "logging.json"
    path.write_text(json.dumps(settings))
    return path


def reason(folder: Path) -> str:
    """The first error that a process of vLLM has logged, without its traceback; empty where none has.

    The first, because the others follow from it: each process tells its parent no more than that it failed.
    """
    try:
        records = (folder / "errors").read_text(errors="replace").split(_RECORD)[1:]
    except OSError:
        return ""
    # That the core is dead is what others say of it, not why.
    return next((words for record in records if "EngineDeadError" not in (words := last_words(record))), "")


def last_words(record: str) -> str:
    r"""What stands below the traceback in a log record, else the record itself, in one line.

    >>> last_words("failed\nTraceback (most recent call last):\n  File 'a.py', line 1\n    f()\nValueError: too\nbig")
    'ValueError: too big'
    >>> last_words("a worker died")
    'a worker died'
    """
    lines = record.rstrip().splitlines()
    indented = [number for number, line in enumerate(lines) if line.startswith("  ")]
    below = lines[indented[-1] + 1 :] if "Traceback (most recent call last):" in lines and indented else lines
    return " ".join(line.strip() for line in (below or lines) if line.strip())


@contextmanager
def turn_to_load(devices: Sequence[str], ended: Callable[[], bool]) -> Iterator[None]:
    """The only job on this host that loads on these devices, or on the CPU; waits for its turn.

    An engine measures how much memory is free before it takes its own: a neighbour who is loading at that
    moment would make it wrong. The kernel lets go of the locks of a process that dies. Raises HopevalError
    when ``ended`` says so while waiting.
    """
    with ExitStack() as files:
        # In one order for all, so that no two wait for each other.
        for device in sorted(devices) or ["cpu"]:
            path = lock_folder() / f"{device.replace('/', '_')}.loading"
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = files.enter_context(open(path, "w"))
            _wait_for(file.fileno(), device, ended)
        yield


def _wait_for(file: int, device: str, ended: Callable[[], bool]) -> None:
    waiting = False
    while not ended():
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                print(f"waiting while another job loads its model on device {device}", file=sys.stderr, flush=True)
                waiting = True
            time.sleep(0.1)
    raise HopevalError("told to end while waiting for another job to load its model")


def block_sigterm() -> None:
    """Keep SIGTERM from this thread and, since it is inherited, from all processes that it starts.

    vLLM's core would break off what is in flight. It still ends on SIGINT, which is how ``ask_to_end`` does so.
    """
    # Before, because Python unblocks SIGTERM in the thread that starts its resource tracker.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


@contextmanager
def guarded_children() -> Iterator[None]:
    """The engine core that vLLM starts meanwhile, and its workers, are killed when their parent is no more.

    The parent is, to the kernel, the thread that starts them: it has to live as long as they are to.
    """
    from vllm.v1.engine.core import EngineCoreProc

    original = EngineCoreProc.run_engine_core
    EngineCoreProc.run_engine_core = staticmethod(_run_engine_core)
    try:
        yield
    finally:
        EngineCoreProc.run_engine_core = staticmethod(original)


def _run_engine_core(*arguments: Any, **settings: Any) -> None:
    """What the core's process runs in place of its own function: that, guarded, with guarded workers."""
    die_with_parent()
    from vllm.v1.engine.core import EngineCoreProc
    from vllm.v1.executor.multiproc_executor import WorkerProc

    WorkerProc.worker_main = staticmethod(_run_worker)
    EngineCoreProc.run_engine_core(*arguments, **settings)


def _run_worker(*arguments: Any, **settings: Any) -> None:
    die_with_parent()
    from vllm.v1.executor.multiproc_executor import WorkerProc

    WorkerProc.worker_main(*arguments, **settings)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, and end at once if it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        os._exit(1)


def ask_to_end(processes: Iterable[BaseProcess]) -> None:
    """Ask these processes to end, by the signal that they still listen to."""
    for process in processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)


def kill(processes: Iterable[BaseProcess]) -> None:
    """End these processes, and wait until they are gone."""
    for process in processes:
        process.kill()
        process.join()
