"""Print a leaderboard in percent, and where everything lies."""

import argparse
from pathlib import Path

from hopeval.errors import InputError
from hopeval.report.exports import as_text, read_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("results", type=Path, help="results folder of a dataset, such as results/sample")


def run(args: argparse.Namespace) -> None:
    """Print the table. Raises InputError when there is none yet."""
    path = args.results / "leaderboard.csv"
    if not path.is_file():
        raise InputError(f"{path}: not there; run snakemake first, or name another results folder")
    print(as_text(read_table(path)))
    print(f"""
In percent, with 95 % bootstrap intervals. all gold: questions with every gold passage in the prompt.
A place is shared where the difference may be chance.

{args.results}/
  report.html                     open this first: comparisons, failures, every question
  leaderboard.csv                 this table, with all metrics and intervals; also .md, .tex, .svg, .png
  comparisons.csv                 every pair of experiments: differences, intervals, tests
  experiments/<name>/             predictions.json (official format), metrics.json, questions.csv, results.jsonl
  contexts/<retriever>.metrics.json   retrieval metrics
  provenance.json                 what made these numbers""")
