"""Whose turn it is on which GPU.

Snakemake counts GPUs (``--resources gpu=8``) but hands out no device numbers. Each job leases its own
here: a byte range of one lock file for each device, held by the kernel for as long as the process or a
child that inherited it lives. A whole device is all units of its file, the n-th part of a shared one
an n-th of them, so that whole and shared leases exclude each other without further rules.
"""

import fcntl
import math
import os
import random
import re
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import product, takewhile
from pathlib import Path
from typing import NamedTuple

from hopeval.errors import HopevalError, InputError

UNITS = 840
"""Parts of a device: divisible by every number from 1 to 8, so that each share has a fair range."""
_FLOCK = struct.Struct("hhqqi4x")
_DEVICE = re.compile(r"\d+|(GPU|MIG)-[\w/-]+")
_KEPT_S = 86400.0  # lock folders of SLURM jobs that ended


class _Lock(NamedTuple):
    device: str
    file: int


def visible() -> list[str]:
    """The devices that this process may use: CUDA_VISIBLE_DEVICES, else all that the driver (NVML) knows.

    SLURM sets the variable for every job that it gives GPUs to: where it is not set, the node's are others'.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        # Like CUDA: all up to the first that is no device (-1, NoDevFiles). One that is named twice is one.
        return list(dict.fromkeys(takewhile(_DEVICE.fullmatch, (part.strip() for part in listed.split(",")))))
    if "SLURM_JOB_ID" in os.environ:
        return []
    try:
        import pynvml  # from nvidia-ml-py

        pynvml.nvmlInit()
        return [str(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no driver, no library, no permission: no device either way
        return []


def lock_base() -> Path:
    """The folder for lock files of every kind: local to the host, HOPEVAL_LOCKS or else that for temporary files."""
    return Path(os.environ.get("HOPEVAL_LOCKS", tempfile.gettempdir()))


def lock_folder() -> Path:
    """Where the lock files lie: one folder a user and host, or a SLURM job.

    Confined SLURM jobs all see devices 0, 1, … while owning different cards, so that an index means
    something only inside its own job.
    """
    return lock_base() / f"hopeval-devices-{os.getuid()}-{os.environ.get('SLURM_JOB_ID', 'host')}"


@contextmanager
def lease(count: int, share: int = 1, within_s: float = math.inf) -> Iterator[list[str]]:
    """``count`` devices for this process alone, or the ``share``-th part of each; waits until they are free.

    Sets CUDA_VISIBLE_DEVICES to them; with ``count`` 0 to none. All or nothing, so that two jobs never
    wait for each other's half. Raises InputError when more are asked for than are visible, HopevalError when
    they were not free within so many seconds.
    """
    pool = visible()
    if count > len(pool):
        shown = f": {','.join(pool)}" if pool else ""
        raise InputError(f"gpus: {count} asked for, {len(pool)} visible{shown}; {_way_out()}")
    locks = _wait_for(count, share, pool, within_s)
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


def check_granted(wanted: int, granted: int | None, key: str) -> None:
    """Raise InputError when fewer GPUs were counted for this job than the configuration's ``key`` wants.

    Snakemake lowers a job's request to what --resources gives, in silence.
    """
    if granted is not None and granted < wanted:
        raise InputError(
            f"{key}: {wanted} needed for each job, but only {granted} granted; "
            f"run snakemake with --resources gpu={wanted} or more, or lower gpus"
        )


def _way_out() -> str:
    """What to do about too few devices."""
    if "SLURM_JOB_ID" not in os.environ:
        return "lower the reader's gpus or correct CUDA_VISIBLE_DEVICES"
    nodes = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if nodes != "1":
        return (
            f"they are those of this node, one of {nodes} of the SLURM job, and a model cannot be spread over several: "
            "request nodes: 1, and lower the reader's gpus to what one node has"
        )
    return "the SLURM job was given no more: request as many GPUs for it, or lower the reader's gpus"


def _wait_for(count: int, share: int, pool: Sequence[str], within_s: float) -> list[_Lock]:
    waiting, until = False, time.monotonic() + within_s
    while (locks := _try(count, share, pool)) is None:
        if time.monotonic() > until:
            raise HopevalError(f"{count} of the devices {','.join(pool)} were not free within {within_s:.0f} s")
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
    folder, size = lock_folder(), UNITS // share
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_old(folder)
        file = _locked(folder / device.replace("/", "_"), os.O_CREAT, part * size, size)
    except OSError as error:
        raise HopevalError(
            f"{folder}: cannot hold lock files: {error.strerror}; name a local folder of your own in HOPEVAL_LOCKS"
        ) from None
    if file is not None:
        # What an engine forks inherits the lease: a device is free when nobody computes on it any more.
        os.set_inheritable(file, True)
    return file


def _locked(path: Path, flags: int, start: int, size: int) -> int | None:
    """The file, open and locked from one unit on; None when somebody holds one of these, or just removed it."""
    with suppress(BlockingIOError, FileNotFoundError), ExitStack() as closing:
        file = os.open(path, os.O_RDWR | flags, 0o600)
        closing.callback(os.close, file)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, size, 0))
        if os.path.samestat(os.fstat(file), os.stat(path)):
            closing.pop_all()
            return file
    return None


def _remove_old(own: Path) -> None:
    """Remove the folders of earlier SLURM jobs that nobody holds a lock in: each job leaves one."""
    for folder in own.parent.glob(f"hopeval-devices-{os.getuid()}-*"):
        with suppress(OSError):
            if folder != own and time.time() - folder.stat().st_mtime > _KEPT_S:
                for path in folder.iterdir():
                    _remove_free(path)
                folder.rmdir()


def _remove_free(path: Path) -> None:
    """Remove a lock file, unless a part of it is held. Under its lock: whoever opened it before finds it gone."""
    if (file := _locked(path, 0, 0, UNITS)) is not None:
        path.unlink()
        os.close(file)


def _release(locks: Sequence[_Lock]) -> None:
    for lock in locks:
        os.close(lock.file)
