"""The page: a template filled, scripts and styles put into it, and the data behind them.

Everything that came from data or a model reaches the page as text: through Jinja's escaping, as JSON that
cannot end a script element, or compressed. A Content-Security-Policy lets only the page's own script run,
by its hash, and lets nothing connect to anywhere.
"""

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopeval import __version__
from hopeval.io import atomic_write
from hopeval.report.details import PASSAGES_PER_BLOCK, QUESTIONS_PER_BLOCK, Details
from hopeval.report.embed import json_text, packed
from hopeval.report.index import question_index
from hopeval.report.page.columns import PLACE_HELP, cell, highest_end, shown_columns, with_sums
from hopeval.report.run import Run
from hopeval.report.summary import page_summary

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).parent
MODULES = (
    "dom",
    "format",
    "store",
    "prompt",
    "state",
    "charts",
    "leaderboard",
    "compare",
    "failures",
    "running",
    "filters",
    "list",
    "passages",
    "question",
    "main",
)
"""The scripts in the order in which they build on one another."""
_BLOCKS_HERE = "<!-- blocks -->"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (async function|function|const) (\w+)", re.MULTILINE)


def write_page(path: Path, run: Run, texts: bool) -> None:
    """Write the page; it appears when it is whole. ``texts`` says whether with the passages' text."""
    head, tail = _rendered(run, texts).split(_BLOCKS_HERE)
    with atomic_write(path) as file:
        file.write(head.encode(errors="replace"))
        for name, text in _blocks(run, texts):
            file.write(f'<script type="text/plain" id="{name}">{text}</script>\n'.encode())
        file.write(tail.encode(errors="replace"))


def _blocks(run: Run, texts: bool) -> Iterator[tuple[str, str]]:
    yield "index", packed(question_index(run))
    yield "comparisons", packed(run.csv("comparisons.csv"))
    yield from Details(run, texts).blocks()


def _rendered(run: Run, texts: bool) -> str:
    script, style = bundle(), (FOLDER / "style.css").read_text(encoding="utf-8")
    sizes = {"questions_per_block": QUESTIONS_PER_BLOCK, "passages_per_block": PASSAGES_PER_BLOCK}
    summary = page_summary(run, texts)
    return _template().render(
        policy=policy(script, style),
        script=script,
        style=style,
        summary=json_text({**summary, **sizes}),
        dataset=summary["dataset"],
        questions=len(run.questions),
        scored=any(experiment["scored"] for experiment in summary["experiments"]),
        version=__version__,
        provenance=run.provenance,
        **_board(run),
        **_making(run),
    )


def bundle() -> str:
    """All modules as one script: each in a function that gives back what it exports and takes what it imports."""
    modules = "\n".join(_enclosed(name, (FOLDER / f"{name}.js").read_text(encoding="utf-8")) for name in MODULES)
    return f'"use strict";\n(() => {{\nconst modules = {{}};\n{modules}\nmodules.main.start();\n}})();\n'


def _enclosed(name: str, source: str) -> str:
    exported = ", ".join(found for _, found in _EXPORT.findall(source))
    body = _EXPORT.sub(r"\1 \2", _IMPORT.sub(r"const {\1} = modules.\2;", source))
    return f"modules.{name} = (() => {{\n{body}return {{ {exported} }};\n}})();"


def policy(script: str, style: str) -> str:
    """The Content-Security-Policy: this script, this style, and nothing else from anywhere.

    Trusted types are required and none are made: no text can become markup by mistake.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html")


def _board(run: Run) -> dict[str, Any]:
    """What the leaderboard is made of: columns by group, and for each experiment its cells."""
    rows = [with_sums(row) for row in run.csv("leaderboard.csv")]
    columns = shown_columns(rows)
    highest = {column.key: highest_end(column, rows) for column in columns}
    places = [row["place"] for row in rows]
    metric = "joint F1" if any(row["joint_f1"] is not None for row in rows) else "F1"
    return {
        "columns": columns,
        "groups": [(name, len(list(members))) for name, members in groupby(columns, key=lambda column: column.group)],
        "rows": [
            {
                "name": row["experiment"],
                "place": f"{row['place']}{'=' if places.count(row['place']) > 1 else ''}",
                "position": position,
                "cells": [(column, cell(column, row, highest[column.key])) for column in columns],
            }
            for position, row in enumerate(rows)
        ],
        "place_help": PLACE_HELP.format(metric=metric),
    }


def _making(run: Run) -> dict[str, Any]:
    """Configuration and commands that make these results again.

    The configuration will be laid upon a default that may have further sections: the experiments are named.
    """
    import yaml

    made = run.provenance
    commit = made["hopeval"]["commit"]
    configuration = {**made["configuration"], "experiments": run.names}
    return {
        "configuration": yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True),
        "commands": [
            *([f"git checkout {shlex.quote(commit)}"] if commit else []),
            "snakemake --cores all --configfile mine.yaml",
        ],
    }
