"""Record what made the results: configuration, code, packages, models, templates, machine, durations."""

import argparse
import importlib.metadata
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hopeval import __version__
from hopeval.commands import mapping, named
from hopeval.devices import visible
from hopeval.io import read_json, write_json
from hopeval.keys import file_sha256, model_fingerprint

_WORKFLOW = Path(__file__).resolve().parents[2]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--config", required=True, type=mapping, help="the configuration: inline JSON or a file")
    parser.add_argument("--results", required=True, type=Path, help="results folder of the dataset")
    parser.add_argument("--models", type=named, nargs="*", default=[], metavar="READER=PATH")
    parser.add_argument("--templates", type=named, nargs="*", default=[], metavar="PROMPT=PATH")
    parser.add_argument("--output", required=True, type=Path)


def run(args: argparse.Namespace) -> None:
    """Write the record. It holds names of environment variables at most, never their values."""
    dataset = read_json(args.results / "dataset.json")
    write_json(
        args.output,
        {
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "hopeval": {"version": __version__, **git_state(_WORKFLOW)},
            "configuration": args.config,
            "dataset": {key: value for key, value in dataset.items() if not isinstance(value, list)},
            "models": {name: {"path": path, "fingerprint": model_fingerprint(path)} for name, path in args.models},
            "templates": {name: {"path": path, "sha256": file_sha256(path)} for name, path in args.templates},
            "packages": packages(),
            "hardware": hardware(),
            "durations_s": durations(args.results),
        },
    )


def git_state(folder: Path) -> dict[str, Any]:
    """The commit that is checked out and whether files differ from it; None where there is no repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    status = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def packages() -> dict[str, str]:
    """Every installed package and its version."""
    found = {item.metadata["Name"]: item.version for item in importlib.metadata.distributions()}
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def hardware() -> dict[str, Any]:
    """The machine on which this runs; the responses name the host and devices that answered each."""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": visible(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def durations(results: Path) -> dict[str, float]:
    """Seconds of each job, as Snakemake's benchmark files have them; without shards of an earlier division."""
    found = {}
    folder = results / "benchmarks"
    for path in sorted(folder.rglob("*.tsv")):
        job = path.relative_to(folder).with_suffix("")
        if job.parts[0] == "infer":
            work, shard = Path(*job.parts[1:-1]), job.parts[-1]
            if not (results / "readers" / work / "shards" / f"{shard}.jsonl").exists():
                continue
        header, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
        found[job.as_posix()] = float(values[header.index("s")])
    return found
