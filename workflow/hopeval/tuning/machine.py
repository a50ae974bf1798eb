"""What of this machine is ours to use, cores and memory, and how much of it others are using."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/")
_UNLIMITED = 1 << 60
"""cgroup v1 writes "no limit" as a number of this size."""


class Cores(NamedTuple):
    """The cores that this process may keep busy: hardware threads, and physical cores that these belong to.

    ``cpus`` are the numbers of those that it may run on; ``by_quota`` says that a cgroup lets it have only
    some of their time: then others may work on the same ones, and that says nothing of our share.
    """

    logical: int
    physical: int
    cpus: tuple[int, ...]
    by_quota: bool = False

    def at_most(self, number: int | None) -> "Cores":
        """As many of them as were granted; None: all."""
        most = self.logical if number is None else number
        return self._replace(logical=min(self.logical, most), physical=min(self.physical, most))

    def taken_by_others(self, busy: float, ours: float, seconds: float) -> float:
        """The share of our cores' time that other programs took, 0 to 1.

        ``busy`` are CPU seconds of all ``cpus`` within ``seconds``, ``ours`` those of them that were ours. Where we
        were granted fewer cores than there are, others may have the rest.
        """
        rest = (len(self.cpus) - self.logical) * seconds
        return min(max((busy - ours - rest) / (self.logical * seconds), 0.0), 1.0)


class Memory(NamedTuple):
    """Bytes of one job: its own, and what it shares with others of its kind (a model that is mapped from disk)."""

    private: int
    shared: int

    def of_jobs(self, jobs: int) -> int:
        """Bytes that so many jobs take together: what they share counts once."""
        return self.shared + jobs * self.private


def cores(root: Path = _ROOT) -> Cores:
    """The cores by affinity and cgroup quota; of a quota that is no whole number, the whole part, at least 1."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = {_siblings(cpu, root) for cpu in cpus}
    found = Cores(len(cpus), len(siblings), tuple(cpus))
    quota = min(_quotas(root), default=float(len(cpus)))
    if quota >= len(cpus):
        return found
    return found.at_most(max(int(quota), 1))._replace(by_quota=True)


def _siblings(cpu: int, root: Path) -> str:
    """The hardware threads of a core as Linux lists them; where nobody says, each is a core of its own."""
    topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    for name in ("core_cpus_list", "thread_siblings_list"):
        with suppress(OSError):
            return (topology / name).read_text().strip()
    return str(cpu)


def _quotas(root: Path) -> Iterator[float]:
    """The cores that each cgroup around us allows."""
    for folder in _cgroups("cpu", root):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError):
            quota_us = int((folder / "cpu.cfs_quota_us").read_text())
            if quota_us > 0:
                yield quota_us / int((folder / "cpu.cfs_period_us").read_text())


def free_memory(root: Path = _ROOT) -> int:
    """Bytes that can be had without swapping, within the cgroups around us. Files in the cache count as free."""
    import psutil

    return max(min([int(psutil.virtual_memory().available), *_rooms(root)]), 0)


def _rooms(root: Path) -> Iterator[int]:
    """Bytes that each cgroup around us has left."""
    for folder in _cgroups("memory", root):
        for limit, usage, cached in _MEMORY_FILES:
            with suppress(OSError, ValueError):
                most = int((folder / limit).read_text())  # ValueError: "max"
                if most < _UNLIMITED:
                    yield most - int((folder / usage).read_text()) + _counted(folder / "memory.stat", cached)


_MEMORY_FILES = (
    ("memory.max", "memory.current", ("inactive_file", "active_file")),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
)


def _counted(path: Path, names: tuple[str, ...]) -> int:
    """The sum of these numbers of a file of names and numbers; 0 where they are not."""
    with suppress(OSError):
        rows = (line.split() for line in path.read_text().splitlines())
        return sum(int(number) for name, number in rows if name in names)
    return 0


def _cgroups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of the cgroups that this process is in, from its own up: version 2, and version 1 beside it."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / controllers
            own = top / path.strip("/")
            # In a container the path may be the host's: what is mounted there is then the top alone.
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def memory_of(processes: Iterable[int]) -> Memory:
    """What these processes and their children have in memory now; those that are gone count as nothing."""
    import psutil

    private, shared = 0, [0]
    for process in _family(processes):
        with suppress(psutil.Error):
            memory = process.memory_info()
            mapped = getattr(memory, "shared", 0)  # only Linux tells; elsewhere all counts as private
            private += memory.rss - mapped
            shared.append(mapped)
    return Memory(private, max(shared))


def worked_s(processes: Iterable[int]) -> float:
    """CPU seconds of these processes and their children so far."""
    import psutil

    total = 0.0
    for process in _family(processes):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def busy_s(cpus: Iterable[int]) -> float:
    """Seconds in which these cores worked for anybody since the machine started, summed; stolen time included."""
    import psutil

    times = psutil.cpu_times(percpu=True)
    return float(sum(sum(t[:8]) - t.idle - getattr(t, "iowait", 0.0) for t in (times[cpu] for cpu in cpus)))


def _family(processes: Iterable[int]) -> Iterator["psutil.Process"]:  # type: ignore[name-defined]  # noqa: F821
    import psutil

    children = defaultdict(list)
    for process in psutil.process_iter(["ppid"]):  # all of them once, not once for each
        children[process.info["ppid"]].append(process)
    for number in processes:
        with suppress(psutil.Error):
            family = [psutil.Process(number)]
            for process in family:  # it grows
                family += children[process.pid]
            yield from family
