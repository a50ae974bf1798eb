"""Whose turn it is on which GPU.

Snakemake counts GPUs (``--resources gpu=8``) but hands out no device numbers. Each job leases its own
here: a byte range of one lock file for each device, held by the kernel for as long as the process or a
child that inherited it lives. A whole device is all units of its file, the n-th part of a shared one
an n-th of them, so that whole and shared leases exclude each other without further rules.
"""

import fcntl
import os
import random
import re
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product, takewhile
from pathlib import Path
from typing import NamedTuple

from hopeval.errors import HopevalError, InputError

UNITS = 840
"""Parts of a device: divisible by every number from 1 to 8, so that each share has a fair range."""
_FLOCK = struct.Struct("hhqqi4x")
_DEVICE = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")


class _Lock(NamedTuple):
    device: str
    file: int


def visible() -> list[str]:
    """The devices that this process may use: CUDA_VISIBLE_DEVICES, else all that the driver (NVML) knows."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        # Like CUDA: all up to the first that is no device (-1, NoDevFiles). One that is named twice is one.
        return list(dict.fromkeys(takewhile(_DEVICE.fullmatch, (part.strip() for part in listed.split(",")))))
    try:
        import pynvml  # from nvidia-ml-py

        pynvml.nvmlInit()
        return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no driver, no library, no permission: no device either way
        return []


def lock_folder() -> Path:
    """Where the lock files lie: one folder a user and host, or a SLURM job.

    Confined SLURM jobs all see devices 0, 1, … while owning different cards, so that an index means
    something only inside its own job.
    """
    base = Path(os.environ.get("HOPEVAL_LOCKS", tempfile.gettempdir()))
    return base / f"hopeval-devices-{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'host')}"


@contextmanager
def lease(count: int, share: int = 1) -> Iterator[list[str]]:
    """``count`` devices for this process alone, or the ``share``-th part of each; waits until they are free.

    Sets CUDA_VISIBLE_DEVICES to them; with ``count`` 0 to none. All or nothing, so that two jobs never
    wait for each other's half. Raises InputError when more are asked for than are visible.
    """
    pool = visible()
    if count > len(pool):
        shown = f": {','.join(pool)}" if pool else ""
        raise InputError(
            f"gpus: {count} asked for, {len(pool)} visible{shown}; "
            "lower the reader's gpus or correct CUDA_VISIBLE_DEVICES"
        )
    locks = _wait_for(count, share, pool)
    outside = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        devices = [lock.device for lock in locks]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        yield devices
    finally:
        _release(locks)
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if outside is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = outside


def _wait_for(count: int, share: int, pool: Sequence[str]) -> list[_Lock]:
    waiting = False
    while (locks := _try(count, share, pool)) is None:
        if not waiting:
            print(f"waiting for {count} of the devices {','.join(pool)}", file=sys.stderr, flush=True)
            waiting = True
        time.sleep(random.uniform(0.05, 0.2))
    return locks


def _try(count: int, share: int, pool: Sequence[str]) -> list[_Lock] | None:
    """Locks on ``count`` devices, or None and nothing held when fewer are free."""
    locks: dict[str, _Lock] = {}
    # The first part of every device before the second of any: jobs that share spread out.
    for part, device in product(range(share), pool):
        if len(locks) < count and device not in locks and (file := _lock(device, part, share)) is not None:
            locks[device] = _Lock(device, file)
    if len(locks) == count:
        return list(locks.values())
    _release(list(locks.values()))
    return None


def _lock(device: str, part: int, share: int) -> int | None:
    """An open file that holds one of ``share`` parts of the device, or None when somebody has it."""
    folder = lock_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / device.replace("/", "_"), os.O_RDWR | os.O_CREAT, 0o600)
        # What an engine forks inherits the lease: a device is free when nobody computes on it any more.
        os.set_inheritable(file, True)
        size = UNITS // share
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, part * size, size, 0))
    except BlockingIOError:
        os.close(file)
        return None
    except OSError as error:
        raise HopevalError(
            f"{folder}: cannot hold lock files: {error.strerror}; name a local folder of your own in HOPEVAL_LOCKS"
        ) from None
    return file


def _release(locks: Sequence[_Lock]) -> None:
    for lock in locks:
        os.close(lock.file)
