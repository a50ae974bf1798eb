"""Write report.html: one page, to be opened from disk, with everything that a run's files say.

The page holds its data, compressed; it needs no server and connects to nothing. Above 2,000 questions it
leaves the passages' text out unless it is told --passages all.
"""

import argparse
from pathlib import Path

from hopeval.errors import InputError
from hopeval.report.page.write import write_page
from hopeval.report.run import load_run

AUTO_LIMIT = 2_000
"""Up to so many questions, ``auto`` takes the passages' text in."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--results", required=True, type=Path, help="results folder of a dataset")
    parser.add_argument("--passages", default="auto", choices=["auto", "all", "none"], help="whether with their text")
    parser.add_argument("--output", type=Path, help="the page; report.html in the results folder when not named")


def run(args: argparse.Namespace) -> None:
    """Write the page and say how large it is. Raises InputError when a file of the run is missing."""
    if not (args.results / "leaderboard.csv").is_file():
        raise InputError(f"{args.results / 'leaderboard.csv'}: not there; run snakemake first, or name another folder")
    found = load_run(args.results)
    texts = args.passages == "all" or (args.passages == "auto" and len(found.questions) <= AUTO_LIMIT)
    output = args.output or args.results / "report.html"
    write_page(output, found, texts)
    words = "with" if texts else "without"
    print(f"{output}: {output.stat().st_size / 1e6:.1f} MB, {len(found.questions)} questions {words} passages' text")
