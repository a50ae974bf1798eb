"""Work out the vectors of one share of the passages, but for those that are there already.

They are kept block by block, each the moment it exists. The report says which were made and how fast.
"""

import argparse
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from hopeval.commands import mapping
from hopeval.config import parse_retriever
from hopeval.devices import check_granted, lease
from hopeval.errors import InputError
from hopeval.heartbeat import Heartbeat, claimed
from hopeval.io import write_json
from hopeval.passages import PassageStore
from hopeval.progress import redirect_output
from hopeval.retrievers.dense import passage_vectors, vectors_key
from hopeval.retrievers.models import Encoder
from hopeval.retrievers.nearest import check_faiss
from hopeval.vectors import Blocks

_LOG_EVERY_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--retriever", required=True, help="the retriever's name")
    parser.add_argument("--settings", required=True, type=mapping, help="its section: inline JSON or a YAML file")
    parser.add_argument("--corpus", required=True, type=Path, help="passages to search")
    parser.add_argument("--shard", type=_shard, default=(1, 1), help="which share of them, <i>-of-<n>")
    parser.add_argument("--store", type=Path, default=Path("resources/indexes"), help="folder of all indexes")
    parser.add_argument("--output", required=True, type=Path, help="the report (JSON)")
    parser.add_argument("--threads", type=int, default=1, help="CPU cores for this job")
    parser.add_argument("--granted-gpus", type=int, help="GPUs that the scheduler counted for this job")
    parser.add_argument("--log", type=Path, help="file for all output; a terminal keeps the progress line")


def _shard(argument: str) -> tuple[int, int]:
    name = re.fullmatch(r"([1-9]\d*)-of-([1-9]\d*)", argument)
    if name is None or int(name[1]) > int(name[2]):
        raise argparse.ArgumentTypeError(f"{argument!r} is not <i>-of-<n>, with i from 1 to n")
    return int(name[1]), int(name[2])


def run(args: argparse.Namespace) -> None:
    """Write the report. Raises InputError for a kind without vectors, an empty corpus or a missing model."""
    terminal = redirect_output(args.log)
    settings: Any = parse_retriever(args.settings, args.retriever)
    if not settings.EMBEDDED:
        raise InputError(f"retrievers.{args.retriever}: {settings.kind} has no vectors; leave this step out")
    check_granted(settings.gpus, args.granted_gpus, f"retrievers.{args.retriever}.gpus")
    key = vectors_key(settings, args.corpus)  # of the bytes as they were before the first was read
    corpus = PassageStore(args.corpus)
    blocks = passage_vectors(settings, corpus, args.store, key)
    share = blocks.share(*args.shard)
    shard = "{}-of-{}".format(*args.shard)
    with claimed(blocks.folder, shard) as heartbeat:
        missing = [number for number in share if not blocks.has(number)]
        heartbeat.counted(_passages(blocks, share), _passages(blocks, share) - _passages(blocks, missing))
        made = _embed(args, settings, corpus, key, blocks, missing, Pace(heartbeat, terminal)) if missing else {}
    report = {"vectors": str(blocks.folder), "shard": shard, "passages": _passages(blocks, share)}
    write_json(args.output, {**report, "made": _passages(blocks, missing), **made})


def _passages(blocks: Blocks, numbers: Iterable[int]) -> int:
    return sum(len(blocks.positions(number)) for number in numbers)


def _check_unchanged(settings: Any, corpus: Path, key: str) -> None:
    """Vectors are kept under a key for good: they have to be of the very passages and model that it was made of."""
    if vectors_key(settings, corpus) != key:
        raise InputError(
            f"{corpus} or {settings.model}: changed while its passages were embedded; leave both as they are, and "
            "run the same command again"
        )


def _embed(
    args: argparse.Namespace,
    settings: Any,
    corpus: PassageStore,
    key: str,
    blocks: Blocks,
    missing: list[int],
    pace: "Pace",
) -> dict[str, Any]:
    """Make the missing blocks, with a device leased for just as long; what there is to report of it."""
    with lease(settings.gpus) as devices:
        _use_threads(args.threads)
        encoder = Encoder(settings)
        if settings.faiss:  # rather than when all vectors are there
            check_faiss(encoder.dimensions, settings.faiss)
        _check_unchanged(settings, args.corpus, key)
        pace.start(_passages(blocks, missing), devices)
        for number in missing:
            positions = blocks.positions(number)
            try:
                vectors = encoder.passages(corpus[position] for position in positions)
            finally:  # passages that were moved cannot even be read
                _check_unchanged(settings, args.corpus, key)
            blocks.write(number, vectors)
            pace.add(len(positions))
    return pace.close()


def _use_threads(count: int) -> None:
    try:
        import torch
    except ImportError:  # Encoder says so, and what to do
        return
    torch.set_num_threads(count)


class Pace:
    """Shows how far the job is: a live line on ``terminal``, a line in the log every ten seconds, and signs of life."""

    def __init__(self, heartbeat: Heartbeat, terminal: TextIO | None) -> None:
        self._heartbeat, self._terminal = heartbeat, terminal

    def start(self, passages: int, devices: list[str]) -> None:
        """Start the clock: waiting for a device and loading a model says nothing of the speed."""
        from tqdm import tqdm

        self._passages, self._devices, self._done = passages, devices, 0
        self._started = self._logged = time.monotonic()
        self._bar = tqdm(
            total=passages, unit="passage", file=self._terminal, leave=False, disable=self._terminal is None
        )
        print(f"{passages} passages to embed, devices {devices or 'none'}", flush=True)

    def add(self, passages: int) -> None:
        """Count passages whose vectors are kept."""
        self._done += passages
        self._bar.update(passages)
        self._heartbeat.passed(passages)
        if time.monotonic() - self._logged > _LOG_EVERY_S:
            self._logged = time.monotonic()
            left = (self._passages - self._done) / self._rate()
            print(f"{self._done}/{self._passages}, {self._rate():.1f} passages/s, about {left:.0f} s left", flush=True)

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._started, 1e-9)

    def close(self) -> dict[str, Any]:
        """Take the line off the terminal; what it took: seconds, passages/s, devices."""
        self._bar.close()
        print(f"{self._done} passages embedded, {self._rate():.1f} passages/s", flush=True)
        seconds = round(time.monotonic() - self._started, 3)
        return {"seconds": seconds, "passages_per_second": round(self._rate(), 2), "devices": self._devices}
