"""What the tests of vLLM share: real jobs with vLLM's build for CPUs, which has an environment of its own.

``make vllm`` makes that environment. Where it is not, these tests are skipped, and the summary says so.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beside import interpreter, summary
from hopeval.io import read_records, write_records
from hopeval.records import Message, Request, Response

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
GGUF = ROOT / "resources" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERT = Path(__file__).with_name("convert.py")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hopeval"
HANG_S = 300
"""No test waits longer for another process: on a busy machine vLLM takes a minute to load."""
MISSING = f"tests/vllm were skipped: no vLLM for CPUs in {PYTHON.parents[1].name}; 'make vllm' installs it"
# A processor without instructions for the model's own bfloat16 takes three times as long with it.
OPTIONS = {"enforce_eager": True, "block_size": 32, "max_num_seqs": 2, "dtype": "float32"}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    summary(terminalreporter, PYTHON, MISSING)


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of vLLM's environment."""
    return interpreter(PYTHON, MISSING)


@pytest.fixture(scope="session")
def model(python: Path) -> Path:
    """The folder of the embedded model as safetensors, made once a machine."""
    if not GGUF.is_file():
        _run([sys.executable, "-m", "hopeval", "fetch", "--embedded", "--output", str(GGUF)])
    digest = hashlib.sha256(GGUF.read_bytes() + CONVERT.read_bytes()).hexdigest()
    folder = CACHE / f"SmolLM2-135M-Instruct-{digest[:12]}"
    _run([str(python), str(CONVERT), str(GGUF), str(folder)])
    return folder


@pytest.fixture(scope="session")
def variant(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder like the model's, without some of its files or with others in their place."""

    def make(name: str, without: Iterable[str] = (), **contents: bytes) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for file in model.iterdir():
            if file.name not in without and file.stem not in contents:
                (folder / file.name).symlink_to(file)
            elif file.stem in contents:
                (folder / file.name).write_bytes(contents[file.stem])
        return folder

    return make


def _run(command: list[str]) -> None:
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def _environment(**variables: str | None) -> dict[str, str]:
    chosen = {"PYTHONPATH": str(ROOT / "workflow"), "VLLM_CPU_KVCACHE_SPACE": "1", **variables}
    return {name: value for name, value in {**os.environ, **chosen}.items() if value is not None}


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """Makes this process's environment, with the package importable, a small cache, and other variables."""
    return _environment


@pytest.fixture(scope="session")
def ask() -> Callable[..., Request]:
    """Makes a request: ``ask("question", "content", schema=…)``."""

    def make(question: str, content: str, **fields: Any) -> Request:
        key = hashlib.sha256(f"{question}/{content}".encode()).hexdigest()
        return Request(key=key, question_id=question, messages=[Message("user", content)], **fields)

    return make


class Shard:
    """One infer job in a folder of its own, as a real process in a session of its own."""

    def __init__(self, folder: Path, model: Path, journal: Path | None = None, **settings: Any) -> None:
        self.folder, self.model = folder, model
        self.journal, self.output, self.log = journal or folder / "journal", folder / "responses.jsonl", folder / "log"
        sampling = {"max_tokens": 40, **settings.pop("sampling", {})}
        options = {**OPTIONS, **settings.pop("options", {})}
        defaults = {"engine": "vllm", "model": str(model), "context_window": 1024, "sampling": sampling}
        self.settings = {**defaults, "options": options, **settings}
        self.process: subprocess.Popen[str] | None = None

    def start(self, requests: Iterable[Request], **variables: str | None) -> "Shard":
        """The job, running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_records(self.folder / "requests.jsonl", requests)
        paths = {"requests": self.folder / "requests.jsonl", "journal": self.journal, "output": self.output}
        options = {**paths, "reader": "r", "settings": json.dumps(self.settings), "model": self.model, "log": self.log}
        self.process = subprocess.Popen(
            [str(PYTHON), "-m", "hopeval", "infer", *(f"--{name}={value}" for name, value in options.items())],
            cwd=self.folder,
            env=_environment(HOPEVAL_LOCKS=str(self.folder.parent / "locks"), **variables),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def finish(self) -> SimpleNamespace:
        """Its exit code and what it wrote, when it has ended."""
        assert self.process is not None
        return SimpleNamespace(code=self.process.wait(HANG_S), words=self.log.read_text())

    def run(self, requests: Iterable[Request], **variables: str | None) -> SimpleNamespace:
        """Start and finish."""
        return self.start(requests, **variables).finish()

    def responses(self) -> list[Response]:
        """What it put out in the end."""
        return list(read_records(self.output, Response))

    def journaled(self) -> list[dict[str, Any]]:
        """What any job has journaled so far, whole lines only."""
        text = "".join(file.read_text() for file in sorted(self.journal.glob("*.jsonl")))
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_until(self, condition: Callable[[], Any]) -> Any:
        """What the condition gives, as soon as that is something."""
        assert self.process is not None
        deadline = time.monotonic() + HANG_S
        while not (found := condition()):
            assert time.monotonic() < deadline, "it never came to that"
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        return found

    def processes(self, title: str = "") -> list[int]:
        """Its processes that live, and those that they left behind: all of its session."""
        assert self.process is not None
        return [pid for pid in _session(self.process.pid) if title in _title(pid)]

    def gone(self) -> bool:
        """Whether none of them is left; Python's own tidying after a kill takes a moment."""
        deadline = time.monotonic() + 20
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.processes() == []

    def kill(self) -> None:
        """Kill whatever is left of it."""
        for pid in self.processes() if self.process else []:
            os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()


def _session(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            # pid (name) state ppid pgrp session …; a name may hold anything but the last parenthesis.
            state, _, _, session, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if int(session) == leader and state != "Z":
            found.append(int(entry.name))
    return found


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture(scope="module")
def shard(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Shard]]:
    """Makes jobs with the model, or with another. What still runs in the end is killed."""
    made: list[Shard] = []
    folder = tmp_path_factory.mktemp("vllm")

    def make(model: Path = model, **settings: Any) -> Shard:
        made.append(Shard(folder / str(len(made)), model, **settings))
        return made[-1]

    yield make
    for one in made:
        one.kill()
