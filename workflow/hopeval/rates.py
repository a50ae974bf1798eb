"""So many requests and tokens a minute, shared by all processes of this user on this host.

Each limit is one number in a locked file: when what was granted so far will be used up, at the rate that
is allowed. Whoever asks moves it on by its own share and waits until then (the generic cell rate
algorithm, as in ATM's traffic management), so that nobody counts. In one process only the first of those
who wait has moved it on: a job that is killed takes along what one call would have.
"""

import asyncio
import fcntl
import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from hopeval.devices import lock_base
from hopeval.errors import HopevalError

_BURST_S = 1.0
"""How far grants may run ahead: a second's worth at once, not a minute's."""
_LONGEST_DEBT_S = 3600.0
_TIME = struct.Struct("d")


@dataclass
class Rate:
    """At most ``per_minute`` of something, for all that name the same ``path``."""

    path: Path
    per_minute: float
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def take(self, amount: float, stop: asyncio.Event) -> None:
        """Wait until ``amount`` may be used, first come, first served, or until ``stop`` is set.

        Raises HopevalError when the file cannot be kept.
        """
        async with self._turn:
            if not stop.is_set():
                await pause(self._reserve(amount) - time.time(), stop)

    def give_back(self, amount: float) -> None:
        """Tell that of what was taken so much was not used; negative: more was."""
        self._reserve(-amount)

    def _reserve(self, amount: float) -> float:
        """The time from which it may be used, in seconds since the epoch; may be over."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                now, found = time.time(), file.read(_TIME.size)
                used_up = _TIME.unpack(found)[0] if len(found) == _TIME.size else now
                if used_up > now + _LONGEST_DEBT_S:  # the clock was set back
                    used_up = now
                start = max(used_up, now - _BURST_S)
                file.seek(0)
                file.write(_TIME.pack(start + amount * 60 / self.per_minute))
                return start
        except OSError as error:
            raise HopevalError(
                f"{self.path}: the shared rate cannot be kept: {error.strerror}; name a local folder of your own "
                "in HOPEVAL_LOCKS"
            ) from None


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Sleep for so long, but no longer than until ``stop`` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass


def shared_rate(name: str, per_minute: float | None) -> Rate | None:
    """The rate of this name on this host; None where there is no limit."""
    return None if per_minute is None else Rate(lock_base() / f"hopeval-rates-{os.getuid()}" / name, per_minute)
