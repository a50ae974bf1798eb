"""All benchmarks whose goals this kind of machine can check, one after the other, into benchmarks/results/.

    make bench                                     within half an hour on two quiet cores
    make bench ARGS="--only score status --official hotpot_evaluate_v1.py"

Each runs in a process of its own, with the arguments that stand below; what it prints is shown and kept. The file
that is written is named after the day and the machine. It begins with the machine, which is all that a figure
in seconds stands for, and with a table of the goals; what the benchmarks printed follows. With ``--only`` the others
stay as that day's file has them: what was disturbed by other work can be measured again. Ends with 1 when a
benchmark fails; a goal that is missed is said, and is no failure.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from goals import Goal, goals_in

from hopeval.io import atomic_write
from hopeval.tuning.machine import cores

HERE = Path(__file__).resolve().parent
BENCHMARKS: Mapping[str, Sequence[str]] = {
    "score": (),
    "status": (),
    "stats": ("--trials", "500"),
    "runner": (),
    "workflow": ("--shards", "4", "16", "64"),
    "stages": (),
    "infer": (),
    "sweep": ("--questions", "6"),
    "endpoint": ("--seconds", "8", "--rounds", "2"),
    "tune": ("--minutes", "3", "--rounds", "2"),
}
"""What is run, with the arguments that keep all of it within half an hour."""


_SECTION = re.compile(
    r"^## `(?P<command>[^`]+)`, (?P<s>\d+) s(, which FAILED with (?P<code>\d+))?\n\n```\n(?P<printed>.*?)\n```$",
    re.MULTILINE | re.DOTALL,
)


class Ran(NamedTuple):
    """A benchmark that was run: how, for how long, with which exit code, and what it printed."""

    command: str
    seconds: float
    code: int
    printed: str

    @property
    def goals(self) -> list[Goal]:
        """What it says of its goals."""
        return goals_in(self.printed)

    @property
    def failed(self) -> bool:
        """A goal that is missed makes an exit code of 1 as well, but has been printed."""
        return self.code != 0 and not any(goal.verdict == "missed" for goal in self.goals)


def run(name: str, arguments: Sequence[str]) -> Ran:
    """Run one and pass on what it prints, line by line."""
    command = ["benchmarks/" + name + ".py", *arguments]
    print(f"\n== {' '.join(command)}", flush=True)
    begun, lines = time.monotonic(), list[str]()
    running = subprocess.Popen(
        [sys.executable, *command],
        cwd=HERE.parent,
        env=os.environ | {"PYTHONPATH": str(HERE.parent / "workflow"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        lines.append(line)
        print(line, end="", flush=True)
    return Ran(" ".join(command), 0.0, running.wait(), "".join(lines))._replace(seconds=time.monotonic() - begun)


def machine() -> list[str]:
    """What the figures were measured on, a line each."""
    found = cores()
    return [
        f"- {model()}, {found.physical} cores ({found.logical} logical)",
        f"- {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB of memory",
        f"- {platform.system()} {platform.machine()}, Python {platform.python_version()}",
    ]


def measured(path: Path) -> dict[str, Ran]:
    """The runs that a file of results holds, by the benchmark's name; none where there is no file."""
    text = path.read_text() if path.exists() else ""
    found = [Ran(m["command"], float(m["s"]), int(m["code"] or 0), m["printed"]) for m in _SECTION.finditer(text)]
    return {Path(ran.command.split()[0]).stem: ran for ran in found}


def model() -> str:
    """The processor's name."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def kind() -> str:
    """The machine in a file's name.

    >>> re.fullmatch(r"[a-z0-9-]+", kind()) is not None
    True
    """
    return re.sub(r"[^a-z0-9]+", "-", f"{cores().logical} {model()}".lower()).strip("-")


def table(runs: Sequence[Ran]) -> list[str]:
    """The goals as a table, with the benchmark that says so."""
    rows = ["| what | measured | goal | | by |", "|---|---|---|---|---|"]
    for ran in runs:
        rows += [f"| {g.name} | {g.value} | {g.bound} | {g.verdict} | `{ran.command.split()[0]}` |" for g in ran.goals]
    return rows


def report(runs: Sequence[Ran], load: float) -> str:
    """The whole file."""
    minutes = sum(ran.seconds for ran in runs) / 60
    parts = ["# Measured on " + datetime.now(UTC).date().isoformat(), "", *machine()]
    parts += [f"- processes that wanted a core when it began: {load:.1f}", f"- {minutes:.0f} minutes in all", ""]
    parts += [*table(runs), ""]
    for ran in runs:
        ended = f", which FAILED with {ran.code}" if ran.failed else ""
        parts += [f"## `{ran.command}`, {ran.seconds:.0f} s{ended}", "", "```", ran.printed.strip(), "```", ""]
    return "\n".join(parts)


def main() -> int:
    """Read the arguments, run, write the file, and give the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, help="some of them anew")
    parser.add_argument("--official", type=Path, help="hotpot_evaluate_v1.py, which score compares with (not shipped)")
    args = parser.parse_args()
    path = HERE / "results" / f"{datetime.now(UTC).date().isoformat()}-{kind()}.md"
    load, runs = os.getloadavg()[0], measured(path) if args.only else {}
    for name in args.only or BENCHMARKS:
        official = ["--official", str(args.official)] if args.official and name == "score" else []
        runs[name] = run(name, [*BENCHMARKS[name], *official])
    ordered = [runs[name] for name in BENCHMARKS if name in runs]
    print("\n" + "\n".join(table(ordered)))
    failed = [ran.command for ran in ordered if ran.failed]
    with atomic_write(path) as file:
        file.write(report(ordered, load).encode())
    print(f"\nwritten to {path.relative_to(HERE.parent)}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
