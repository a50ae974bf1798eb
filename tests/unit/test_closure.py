"""What each verb is made of, that imports run one way, and that --help need not load half the world."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopeval.__main__ import VERBS
from hopeval.closure import closure, code_digest

LIBRARY = Path(__file__).parents[2] / "workflow"
PACKAGE = LIBRARY / "hopeval"
SOURCES = {
    ".".join(path.relative_to(LIBRARY).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
HEAVY = [
    "aiohttp",
    "bm25s",
    "faiss",
    "huggingface_hub",
    "ir_measures",
    "numba",
    "sentencex",
    "matplotlib",
    "numpy",
    "pandas",
    "psutil",
    "pynvml",
    "sentence_transformers",
    "snakemake",
    "torch",
    "tqdm",
    "vllm",
    "xllamacpp",
    "yaml",
]

LAYERS = [
    ["records", "errors", "io", "mistakes", "sections", "readers", "retrieval", "composition", "config", "closure"],
    ["hops", "keys", "parsing", "prompts", "metrics"],
    [
        "asking",
        "claims",
        "corpora",
        "datasets",
        "devices",
        "download",
        "engines",
        "heartbeat",
        "indexes",
        "journal",
        "owners",
        "pacing",
        "passages",
        "plugins",
        "progress",
        "pulse",
        "rates",
        "report",
        "retrievers",
        "runner",
        "runs",
        "state",
        "tuning",
        "vectors",
    ],
    ["commands"],
    ["__main__"],
]
"""From the ground up. A module imports from layers below its own, and from its own only as BESIDE has it."""
BESIDE = {
    "io": {"errors"},
    "claims": {"owners"},
    "heartbeat": {"claims", "owners"},
    "indexes": {"owners"},
    "state": {"claims", "owners"},
    "readers": {"sections"},
    "retrieval": {"readers", "sections"},
    "config": {"composition", "errors", "mistakes", "readers", "retrieval", "sections"},
    "datasets": {"corpora"},  # BEIR's questions know passages by their ids alone
    "retrievers": {"indexes", "passages", "plugins", "runs", "vectors"},
    "engines": {"devices"},
    "rates": {"devices"},
    "asking": {"engines", "pacing", "rates"},
    "tuning": {"devices", "engines", "runner"},
    "runner": {"asking", "engines", "journal", "pacing"},
    "report": {"state"},
}
STRANGERS = {
    "engines": {"keys", "metrics", "parsing", "prompts"},  # engines know nothing of HotpotQA
    "metrics": {"keys", "parsing", "prompts"},  # metrics know nothing of how an answer came about
    "runner": {"keys", "metrics", "parsing", "prompts"},
    "retrievers": {"metrics", "parsing", "prompts"},
    "datasets": {"metrics", "parsing", "prompts"},
}


def room(module: str) -> str:
    """The module or package right under hopeval that a module belongs to; '' for hopeval itself."""
    return module.partition("hopeval")[2].strip(".").partition(".")[0]


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: closures follow absolute imports only"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_top_level(source: str) -> Iterator[str]:
    """What is imported when the module is: not in a function, and not for type checkers alone."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(ast.unparse(node))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def layer(name: str) -> int:
    (found,) = (height for height, names in enumerate(LAYERS) if name in names)
    return found


@pytest.mark.parametrize("module", SOURCES)
def test_imports_run_one_way(module: str) -> None:
    own = room(module)
    needed = {room(name) for name in imported(SOURCES[module].read_text(encoding="utf-8")) if name in SOURCES} - {
        own,
        "",
    }
    if not own:
        assert not needed
        return
    for name in needed:
        assert layer(name) < layer(own) or name in BESIDE.get(own, ()), f"{module} imports {name}"
    assert not needed & STRANGERS.get(own, set())


@pytest.mark.parametrize("module", SOURCES)
def test_heavy_libraries_are_imported_where_they_are_used(module: str) -> None:
    found = {name.partition(".")[0] for name in at_top_level(SOURCES[module].read_text(encoding="utf-8"))}
    assert not found & set(HEAVY)


def test_a_heavy_import_would_be_noticed() -> None:
    source = "import os\nif TYPE_CHECKING:\n    import numpy\nelse:\n    import bm25s\n"
    source += "def f():\n    import pandas\nclass A:\n    import vllm"
    assert set(at_top_level(source)) == {"os", "bm25s", "vllm"}


def test_packages_have_no_code_that_a_closure_would_miss() -> None:
    for module, path in SOURCES.items():
        if path.name == "__init__.py" and module not in ("hopeval", "hopeval.commands"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert all(isinstance(node, ast.Expr) for node in body), (
                f"{module}: closures name modules, not their packages"
            )


# Closures


def parts(verb: str) -> set[str]:
    return {name.removeprefix("hopeval.") for name in closure(LIBRARY, f"hopeval.commands.{verb}")}


def imports_of(module: str) -> set[str]:
    return {name for name in imported(SOURCES[module].read_text(encoding="utf-8")) if name in SOURCES}


@pytest.mark.parametrize("verb", VERBS)
def test_a_closure_is_closed_and_holds_nothing_else(verb: str) -> None:
    found = closure(LIBRARY, f"hopeval.commands.{verb}")
    assert found == sorted(set(found))
    reached = {f"hopeval.commands.{verb}"}
    while more := {name for module in reached for name in imports_of(module)} - reached:
        reached |= more
    assert set(found) == reached


ENGINES = {"engines.llamacpp", "engines.base", "runner", "journal", "devices"}
METRICS = {"metrics.hotpotqa", "metrics.official", "metrics.retrieval", "metrics.stats", "metrics.table"}


@pytest.mark.parametrize(
    ("verb", "has", "lacks"),
    [
        ("infer", {"runner", "journal", "devices", "config"}, {*METRICS, "parsing", "prompts", "datasets.hotpotqa"}),
        (
            "score",
            {*METRICS, "datasets.hotpotqa"},
            {*ENGINES, "config", "plugins", "parsing", "prompts", "retrievers.base"},
        ),
        ("predict", {"parsing"}, {*ENGINES, *METRICS, "config", "prompts"}),
        ("queries", {"parsing"}, {*ENGINES, *METRICS, "config", "prompts"}),
        ("plan", {"prompts", "keys", "config"}, {*ENGINES, *METRICS, "parsing"}),
        ("shard", {"io"}, {*ENGINES, *METRICS, "config", "records"}),
        ("merge", {"io"}, {*ENGINES, *METRICS, "config", "records"}),
        ("prepare", {"datasets.hotpotqa", "datasets.contexts", "download"}, {*ENGINES, *METRICS, "config"}),
        (
            "retrieve",
            {"retrievers.base", "retrievers.bases", "indexes", "runs", "metrics.retrieval"},
            {*(ENGINES - {"devices"}), "metrics.hotpotqa", "parsing", "retrievers.bm25"},
        ),
        ("index", {"retrievers.base", "indexes", "config"}, {*ENGINES, *METRICS, "parsing", "retrievers.bm25"}),
        (
            "embed",
            {"retrievers.dense", "vectors", "devices", "config"},
            {"runner", "journal", "engines.base", *METRICS},
        ),
        ("leaderboard", {"metrics.compare", "report.figures"}, {*ENGINES, "config", "parsing", "report.page.write"}),
        ("report", {"report.page.write"}, {*ENGINES, "config", "parsing", "prompts", "report.figures"}),
        ("compare", {"metrics.compare", "metrics.official"}, {*ENGINES, "config", "parsing", "report.figures"}),
    ],
)
def test_a_verb_is_made_of_what_it_needs(verb: str, has: set[str], lacks: set[str]) -> None:
    assert has <= parts(verb)
    assert not lacks & parts(verb)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that may be edited."""
    shutil.copytree(PACKAGE, tmp_path / "workflow" / "hopeval", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "workflow"


def digests(library: Path) -> dict[str, str]:
    compared = [verb for verb in VERBS if verb not in ("ask", "tune")]  # all stages at once; measured when asked for
    found = {verb: code_digest(library, verb) for verb in compared}
    more = {"infer llamacpp": "engines.llamacpp", "index bm25": "retrievers.bm25", "retrieve bm25": "retrievers.bm25"}
    return {
        **found,
        **{name: code_digest(library, name.split()[0], f"hopeval.{module}") for name, module in more.items()},
    }


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("metrics/hotpotqa.py", {"score", "leaderboard", "report", "compare"}),
        ("metrics/stats.py", {"score", "leaderboard", "report", "compare"}),
        ("report/figures.py", {"leaderboard"}),
        ("report/page/write.py", {"report"}),
        ("report/page/style.css", {"report"}),
        ("report/page/main.js", {"report"}),
        ("parsing.py", {"predict", "queries"}),
        ("prompts.py", {"plan"}),
        ("engines/llamacpp.py", {"infer llamacpp"}),
        ("retrievers/bm25.py", {"index bm25", "retrieve bm25"}),
        ("metrics/retrieval.py", {"retrieve", "retrieve bm25", "score", "leaderboard", "report", "compare"}),
        ("runner.py", {"infer", "infer llamacpp"}),
        ("commands/merge.py", {"merge"}),
        ("__main__.py", set()),
    ],
)
def test_an_edit_changes_the_digests_of_what_is_made_of_it(copy: Path, edited: str, changes: set[str]) -> None:
    before = digests(copy)
    with open(copy / "hopeval" / edited, "a") as file:
        file.write("\n")
    after = digests(copy)
    assert {name for name in after if after[name] != before[name]} == changes


def test_a_moved_or_touched_checkout_is_the_same_code(copy: Path) -> None:
    (copy / "hopeval" / "io.py").touch()
    assert digests(copy) == digests(LIBRARY)


def test_the_list_of_the_packages_files_is_complete() -> None:
    mend = "mend it: cd workflow && git ls-files hopeval | sort > package.txt"
    listed = (LIBRARY / "package.txt").read_text(encoding="utf-8").split()
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sorted(listed) == sorted(path.relative_to(LIBRARY).as_posix() for path in files), mend
