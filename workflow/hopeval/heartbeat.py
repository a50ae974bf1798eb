"""Signs of life: what a job says of its shard while it works on it (see :mod:`hopeval.claims`)."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from hopeval.claims import Claim, asking_path, claim_path, take
from hopeval.errors import HopevalError
from hopeval.io import atomic_write
from hopeval.owners import this_process
from hopeval.records import Request, Response

BEAT_S = 10.0
"""Between two signs of life."""
_REASON_CHARACTERS = 2000
_LINE_BYTES = 128
_PULSE = Path(__file__).with_name("pulse.py")


@contextmanager
def claimed(folder: Path, shard: str, tell: Callable[[str], None] = print) -> Iterator["Heartbeat"]:
    """The shard, for this process alone; waits as long as another works on it, and tells so.

    Says at the end how it went. Raises HopevalError when the folder cannot be written to.
    """
    claim = Claim(shard=shard, owner=this_process(), since=_now())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        heartbeat = Heartbeat(folder, take(folder, claim, tell), claim)
        heartbeat.start()
    except OSError as error:
        raise HopevalError(
            f"{folder}: shard {shard} cannot be claimed: {error.strerror}; "
            "make room or mend the folder, and run the same command again"
        ) from None
    try:
        yield heartbeat
    except BaseException as error:
        heartbeat.end("failed", str(error) or type(error).__name__)
        raise
    heartbeat.end("done")


class Heartbeat:
    """Writes a claim again and again, with how far the job is, until it ends.

    A process beside this one touches the claim: a library that loads a model may let no thread of ours run.
    A claim that was taken over is no longer ours: then the process is told to end, as by SIGTERM.
    """

    def __init__(self, folder: Path, number: int, claim: Claim) -> None:
        self.path, self._next = (claim_path(folder, claim.shard, n) for n in (number, number + 1))
        self.claim = claim
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")
        self._asking: int | None = None
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._begun = 0.0

    def start(self) -> None:
        """Begin to beat."""
        command = [sys.executable, "-I", "-S", str(_PULSE), str(self.path), str(BEAT_S), str(os.getpid())]
        nothing = subprocess.DEVNULL
        self._pulse = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)
        self._thread.start()

    def counted(self, total: int, journaled: int) -> None:
        """Note how many requests the shard has, and how many of them were answered before."""
        self.claim.total, self.claim.journaled, self.claim.through = total, journaled, journaled
        self._write()

    def passed(self, count: int) -> None:
        """Count so many that are through at once, where what is worked on are no requests."""
        if not self._begun:
            self._begun = time.monotonic()
        self.claim.through += count

    def begin(self, request: Request) -> None:
        """Note a request that is about to be asked, in a way that outlives kill -9."""
        if not self._begun:
            self._begun = time.monotonic()
            self._write()
        slot = self._slots[request.key] = self._free.pop() if self._free else len(self._slots)
        self._note(slot, request.question_id)

    def add(self, response: Response) -> None:
        """Count a response."""
        if (slot := self._slots.pop(response.key, None)) is not None:
            self._free.append(slot)
            self._note(slot, "")
        self.claim.through += 1
        self.claim.failed += response.error is not None

    def _note(self, slot: int, name: str) -> None:
        """Write the name of a question into its line of the file of those that are being asked."""
        # Neither synced nor renamed: the kernel keeps it when the process dies, and it is needed only then.
        with suppress(OSError):
            if self._asking is None:
                self._asking = os.open(asking_path(self.path), os.O_WRONLY | os.O_CREAT, 0o666)
            line = name.replace("\n", " ").encode(errors="replace")[: _LINE_BYTES - 1]
            os.pwrite(self._asking, line.ljust(_LINE_BYTES - 1) + b"\n", slot * _LINE_BYTES)

    def _run(self) -> None:
        while not self._ended.wait(BEAT_S):
            if self._is_taken_over():
                print("this shard was taken over: no sign of life came through for too long", flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self._write()

    def _is_taken_over(self) -> bool:
        # A file server that fails for once must not end the beat.
        with suppress(OSError):
            return self._next.exists()
        return False

    def _write(self) -> None:
        self.claim.beat += 1
        self.claim.at = _now()
        if self._begun:
            self.claim.working_s = max(round(time.monotonic() - self._begun, 1), 0.1)
        # A full disk must not end the job here: keeping its answers fails, too, and says so.
        with suppress(OSError), atomic_write(self.path) as file:
            file.write(msgspec.json.encode(self.claim))

    def end(self, state: Literal["done", "failed"], reason: str = "") -> None:
        """The last sign: how it went."""
        self._ended.set()
        self._thread.join()
        self._pulse.communicate()  # closes its standard input
        self.claim.state, self.claim.reason = state, reason[:_REASON_CHARACTERS]
        self._write()
        if self._asking is not None:
            os.close(self._asking)
            with suppress(OSError):
                asking_path(self.path).unlink()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
