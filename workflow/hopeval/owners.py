"""Who works on a shard, and whether that process is known to live or to be gone.

Known means known: the process table of the same machine, or SLURM itself. Of a process elsewhere nothing
is known, and only its silence tells (see :mod:`hopeval.claims`).
"""

import os
import socket
import subprocess
import time
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

_ASK_S = 10.0
_FRESH_S = 30.0  # hundreds of jobs that wait must not ask SLURM all the time

Fate = Literal["living", "gone", "unknown"]
"""What is known of a process."""


class Owner(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """A process, and the SLURM job it belongs to.

    ``started`` are clock ticks since the machine started, so that a number that was given to another
    process is not taken for this one. ``machine`` is where process numbers mean the same.
    """

    host: str
    process: int
    started: int
    machine: str
    user: int = -1
    cluster: str = ""
    job: str = ""
    restart: int = 0
    """How often SLURM has requeued the job."""

    def __str__(self) -> str:
        job = f"SLURM job {self.job}, " if self.job else ""
        return f"{job}process {self.process} on {self.host}"


def this_process() -> Owner:
    """What others are to know of this process. On SLURM the host is the node's name."""
    environment = os.environ
    return Owner(
        host=environment.get("SLURMD_NODENAME") or socket.gethostname(),
        process=os.getpid(),
        started=_started(os.getpid()) or 0,
        machine=_machine(),
        user=os.getuid(),
        cluster=environment.get("SLURM_CLUSTER_NAME", ""),
        job=environment.get("SLURM_JOB_ID", ""),
        restart=int(environment.get("SLURM_RESTART_COUNT") or 0),
    )


def fate(owner: Owner, ask_slurm: bool = True) -> Fate:
    """What is known of this process. Answers of SLURM are up to half a minute old, see :func:`ask_anew`."""
    if owner.machine == _machine():
        return _fate_here(owner)
    if not owner.job:
        return "unknown"
    me = this_process()
    if (me.cluster, me.job) == (owner.cluster, owner.job):
        return "gone" if owner.restart < me.restart else "unknown"
    # Other people's jobs, and those of other clusters, need not be shown to us.
    if not ask_slurm or owner.user != me.user or owner.cluster != (_cluster() or None):
        return "unknown"
    return _fate_on_slurm(owner)


def ask_anew() -> None:
    """Forget SLURM's answer: it says nothing of a job that is first heard of now, and may have begun since."""
    _jobs.cache_clear()


def _fate_here(owner: Owner) -> Fate:
    started = _started(owner.process)
    if started != owner.started:
        return "gone"
    return "living" if started else "unknown"


def _started(process: int) -> int | None:
    """When a process was started; None when it is not there or a zombie. 0 where nothing can be said."""
    if not Path("/proc/self/stat").exists():  # not Linux
        return 0
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


@cache
def _machine() -> str:
    """The running kernel and the table of processes that is seen here: not shared by two containers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


@cache
def _cluster() -> str:
    """The name of the cluster whose squeue answers here; '' when there is none."""
    if name := os.environ.get("SLURM_CLUSTER_NAME"):
        return name
    for line in (_output("scontrol", "show", "config") or "").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "ClusterName":
            return value.strip()
    return ""


def _fate_on_slurm(owner: Owner) -> Fate:
    """Gone: the job has ended, or was requeued since. While it ends, its processes may live or not."""
    jobs = _jobs(int(time.monotonic() / _FRESH_S))
    if jobs is None:
        return "unknown"
    state, restarts = jobs.get(owner.job, ("", 0))
    if state not in (*_RUNNING, *_CHANGING) or restarts > owner.restart:
        return "gone"
    return "living" if state in _RUNNING and restarts == owner.restart else "unknown"


@lru_cache(maxsize=1)
def _jobs(moment: int) -> dict[str, tuple[str, int]] | None:
    """State and restarts of each of our jobs, asked for once in a moment; None when squeue does not answer."""
    # --all: jobs in hidden partitions, too.
    columns = "--Format=JobID:20,State:20,RestartCnt:10"
    answer = _output("squeue", "--all", "--noheader", f"--user={os.getuid()}", columns)
    if answer is None:
        return None
    rows = [line.split() for line in answer.splitlines()]
    return {row[0]: (row[1], int(row[2])) for row in rows if len(row) == 3 and row[2].isdecimal()}


_RUNNING = ("RUNNING", "SUSPENDED", "STOPPED", "SIGNALING")
_CHANGING = ("CONFIGURING", "COMPLETING", "STAGE_OUT")


def _output(*command: str) -> str | None:
    """What the command says; None when it is not there, fails, or takes too long."""
    # A user's own filters would hide jobs, which would then count as gone.
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_") and name != "SLURM_CLUSTERS"
    }
    try:
        done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=_ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
