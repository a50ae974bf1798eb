"""Runs a command, and ends it with all that it has started as soon as nobody holds our standard input.

python guard.py <command> …, run by itself: whoever started it may be killed in any way, kill -9 included;
the kernel then closes the pipe, and this process does what is left to do. Linux only: as subreaper it
inherits every orphan of the command, whatever session or process group that is in.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_S = 10.0


def main(command: list[str]) -> int:
    """The command's exit code; 128 more than the signal that ended it."""
    # Who ends the whole process group means the command too, and it ends by way of the pipe.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # Should even this process be killed, the command at least is ended with it.
        preexec_fn=lambda: _prepare(libc),
    )
    code = _wait(child)
    _end_all()
    return 128 - code if code < 0 else code


def _prepare(libc: ctypes.CDLL) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _wait(child: "subprocess.Popen[bytes]") -> int:
    """The command's exit code; it is told to end when our standard input is closed."""
    while child.poll() is None:
        readable, _, _ = select.select([0], [], [], 0.2)
        if readable and not os.read(0, 1):
            child.terminate()
            try:
                return child.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                return child.wait()
    return child.returncode


def _end_all() -> None:
    """End what is left of the command, and what that leaves, until nothing is."""
    ask_until = time.monotonic() + _GRACE_S
    while children := _children():
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM if time.monotonic() < ask_until else signal.SIGKILL)
        while _reaped():
            pass
        time.sleep(0.1)


def _children() -> list[int]:
    return [int(child) for child in Path("/proc/self/task", str(os.getpid()), "children").read_text().split()]


def _reaped() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] > 0
    except ChildProcessError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
