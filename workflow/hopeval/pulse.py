"""Touches a file again and again, as long as the process that started us lives.

python pulse.py <file> <seconds between> <that process>, run by itself: a process in which a library lets no
other thread run, as while it loads a model, gives this sign of life all the same. It ends when that process
closes our standard input or is killed, kill -9 included: the kernel then closes the pipe.
"""

import os
import select
import signal
import sys
from contextlib import suppress


def main(path: str, every_s: float, process: int) -> None:
    """Touch the file until the process is gone."""
    # Who ends the whole process group means that process, which may need a while to end.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # A child that it forked may hold the pipe open; then it is no longer our parent.
    while not select.select([0], [], [], every_s)[0] and os.getppid() == process:
        # A file server that fails for once must not end the signs.
        with suppress(OSError):
            os.utime(path)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
