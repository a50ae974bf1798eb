"""The set-ups that are worth measuring: how many jobs at once, each with how much of the machine, and how fed."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Meta, Struct

from hopeval.config import merge
from hopeval.tuning.machine import Cores, Memory

_IDLE = 0.2
"""A split may leave at most this share of the cores or GPUs idle."""
_MEMORY_USED = 0.9
"""Of the free memory so much may be planned for: jobs grow, and the system needs some."""
_DEFAULT_BATCH = {"n_batch": 2048, "n_ubatch": 512}
"""llama.cpp's own."""
_BATCHES = ((2048, 128), (2048, 256), (2048, 512), (2048, 1024), (512, 512), (512, 128))
"""n_batch and n_ubatch."""
_SEQUENCES = (32, 64, 128, 256, 512, 1024)


Count = Annotated[int, Meta(ge=1)]


class Cell(Struct, frozen=True, omit_defaults=True):
    """One set-up. What is None is as the reader's section has it; ``shards`` are jobs that run at once."""

    shards: Count | None = None
    threads: Count | None = None
    gpus: Count | None = None
    tensor_parallel: Count | None = None
    concurrency: Count | None = None
    options: tuple[tuple[str, Count], ...] = ()

    @property
    def jobs(self) -> int:
        """How many infer jobs run at once."""
        return self.shards or 1

    @property
    def settings(self) -> dict[str, Any]:
        """What it lays upon the reader's section."""
        names = ("shards", "threads", "gpus", "tensor_parallel", "concurrency")
        found = {name: value for name in names if (value := getattr(self, name)) is not None}
        return {**found, "options": dict(self.options)} if self.options else found

    def laid_upon(self, reader: Mapping[str, Any]) -> dict[str, Any]:
        """The reader's section with this set-up."""
        return merge(reader, self.settings)

    def __str__(self) -> str:
        parts = []
        if self.threads:
            parts.append(f"{self.jobs} × {_counted(self.threads, 'thread')}")
        if self.gpus:
            parts.append(f"{self.jobs} × {_counted(self.gpus, 'GPU')}")
        if self.concurrency:
            parts.append(f"{self.concurrency} in flight")
        return ", ".join([*parts, *(f"{name} {value}" for name, value in self.options)]) or "as configured"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def splits(total: int) -> list[tuple[int, int]]:
    """Every way to share ``total`` cores or GPUs among jobs: (jobs, each one's), from one job to the most.

    What does not divide evenly is taken where no more than a fifth would be idle.

    >>> splits(2)
    [(1, 2), (2, 1)]
    >>> splits(7)
    [(1, 7), (2, 3), (3, 2), (7, 1)]
    >>> splits(16)
    [(1, 16), (2, 8), (3, 5), (4, 4), (5, 3), (8, 2), (16, 1)]
    """
    ways = {total // size: size for size in range(1, total + 1) if total % size <= _IDLE * total}
    return sorted(ways.items())


def thread_cells(cores: Cores) -> list[Cell]:
    """The splits of the physical cores, and of the hardware threads where there are more of them."""
    ways = dict.fromkeys([*splits(cores.physical), *splits(cores.logical)])
    return [Cell(shards=jobs, threads=threads) for jobs, threads in ways]


def gpu_cells(devices: int, pipeline: int = 1, heads: int | None = None) -> tuple[list[Cell], dict[Cell, str]]:
    """The splits of so many GPUs over jobs, and the cells that cannot be, with the reason.

    ``pipeline``: groups of GPUs that the layers of one job are split into; ``heads``: the model's attention
    heads, which the GPUs of a group share evenly.
    """
    fit, left_out = list[Cell](), dict[Cell, str]()
    for jobs, size in splits(devices // pipeline):
        cell = Cell(shards=jobs, gpus=size * pipeline, tensor_parallel=size)
        if heads and heads % size:
            left_out[cell] = f"{heads} attention heads cannot be split over {size} GPUs"
        else:
            fit.append(cell)
    return fit, left_out


def batch_cells(best: Cell, context_window: int, own: Mapping[str, Any] = MappingProxyType({})) -> list[Cell]:
    """The same set-up with other batches (llama.cpp's n_batch) and parts of them computed at once (n_ubatch).

    Those beyond the context window would be the same as others: no prompt is longer. ``own`` are the
    reader's options: with these it has been measured.
    """
    largest = max(context_window, _BATCHES[0][1])
    as_it_is = tuple({name: own.get(name, default) for name, default in _DEFAULT_BATCH.items()}.values())
    pairs = [pair for pair in _BATCHES if pair != as_it_is and max(pair) <= largest]
    return [_with(best, n_batch=batch, n_ubatch=part) for batch, part in pairs]


def sequence_cells(best: Cell, most: int | None = None) -> list[Cell]:
    """The same set-up with other numbers of sequences that vLLM computes at once, at most ``most``."""
    return [_with(best, max_num_seqs=count) for count in _SEQUENCES if most is None or count <= most]


def _with(cell: Cell, **options: int) -> Cell:
    return Cell(**{**_fields(cell), "options": tuple(sorted({**dict(cell.options), **options}.items()))})


def _fields(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in Cell.__struct_fields__}


def largest_that_fits(total: int, memory: Memory, free: int) -> Cell:
    """As many jobs as fit into ``free`` bytes, with what that leaves each of ``total`` cores; at least one job."""
    jobs = int((_MEMORY_USED * free - memory.shared) // max(memory.private, 1))
    jobs = min(max(jobs, 1), total)
    return Cell(shards=jobs, threads=total // jobs)


def fitting(cells: Iterable[Cell], memory: Memory, free: int) -> tuple[list[Cell], dict[Cell, str]]:
    """The cells that fit into ``free`` bytes, by the measured memory of one job, and the others with the reason."""
    fit, left_out = list[Cell](), dict[Cell, str]()
    for cell in cells:
        needed = memory.of_jobs(cell.jobs)
        if needed <= _MEMORY_USED * free:
            fit.append(cell)
        else:
            left_out[cell] = (
                f"needs about {_mb(needed)} ({_mb(memory.shared)} shared, {_mb(memory.private)} for each of "
                f"{cell.jobs} jobs); {_mb(free)} are free, of which {_MEMORY_USED:.0%} are planned for"
            )
    return fit, left_out


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def simplest(cells: Sequence[Cell]) -> Cell:
    """Of equals the one that asks least: the fewest options of its own, jobs, requests in flight, cores."""
    return min(cells, key=lambda c: (len(c.options), c.jobs, c.concurrency or 0, (c.threads or 0) + (c.gpus or 0)))
