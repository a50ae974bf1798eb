"""Which modules a verb is made of, and their digest: what Snakemake compares to tell old code from new.

The closure is read off the syntax trees, function bodies included, so that a module that is imported
where it is used counts as well. Nothing is imported.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "hopeval"


def code_digest(library: Path, verb: str, *modules: str) -> str:
    """SHA-256 in hex over the code of a verb and of further modules (``hopeval.engines.llamacpp``).

    A template, style or script that lies beside one of its modules is part of it.
    """
    found = closure(library, f"{PACKAGE}.commands.{verb}", *modules)
    files = {name: _path(library, name) for name in found}
    files |= {file.name: file for path in list(files.values()) for file in _beside(path)}
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def closure(library: Path, *modules: str) -> list[str]:
    """The package's modules that these import, directly or not, themselves included; sorted."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(_path(library, name), library)
    return sorted(found)


def _beside(path: Path) -> list[Path]:
    return sorted(file for file in path.parent.iterdir() if file.suffix in (".css", ".html", ".js"))


@cache
def _imports(path: Path, library: Path) -> tuple[str, ...]:
    return tuple(
        name
        for node in ast.walk(ast.parse(path.read_bytes()))
        for name in _named(node)
        if name.split(".")[0] == PACKAGE and _exists(library, name)
    )


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        # ``from package import module`` names a module, ``from module import thing`` does not.
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _exists(library: Path, name: str) -> bool:
    return _path(library, name).is_file()


def _path(library: Path, name: str) -> Path:
    module = library.joinpath(*name.split("."))
    return module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
