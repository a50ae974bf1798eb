"""From a name to a class, or to a message that says what is wrong with the name."""

import os
import subprocess
import sys

import pytest

from hopeval.engines.base import Engine
from hopeval.engines.llamacpp import LlamaCppEngine
from hopeval.errors import InputError
from hopeval.plugins import load_class

KNOWN = {"llamacpp": "hopeval.engines.llamacpp:LlamaCppEngine"}

OWN = """
from hopeval.engines.base import Engine

class Whole(Engine):
    async def complete(self, request): ...

class Partial(Engine):
    pass

class Stranger:
    pass

def function(): ...
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a module of the user's own, and nothing of it left behind."""
    (tmp_path / "own_engines.py").write_text(OWN)
    (tmp_path / "needs_more.py").write_text("import surely_not_installed\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    for name in ("own_engines", "needs_more"):
        sys.modules.pop(name, None)


def load(name):
    return load_class(name, KNOWN, Engine, "readers.r.engine")


def test_known_name_is_its_class_and_leaves_the_search_path_alone(here):
    before = list(sys.path)
    assert load("llamacpp") is LlamaCppEngine
    assert sys.path == before


def test_own_class_comes_from_the_working_directory(here):
    whole = load("own_engines:Whole")
    assert (whole.__module__, whole.__name__) == ("own_engines", "Whole")
    assert issubclass(whole, Engine)
    assert load("own_engines:Whole") is whole
    assert sys.path.count("") == 1


def test_own_class_comes_from_pythonpath_too(here, environment):
    script = f"from hopeval.plugins import load_class; load_class('engines:FailingEngine', {{}}, {object.__name__}, '')"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), cwd=os.path.sep, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "nowhere:Class",
            r"'nowhere:Class' cannot be loaded: ModuleNotFoundError: No module named 'nowhere'; check .* PYTHONPATH",
        ),
        ("own_engines:Absent", r"'own_engines:Absent' cannot be loaded: .* no attribute 'Absent'"),
        ("own_engines", r"'own_engines' cannot be loaded"),
        ("needs_more:Class", r"cannot be loaded: ModuleNotFoundError: No module named 'surely_not_installed'"),
        ("own_engines:Stranger", r"'own_engines:Stranger' is no subclass of hopeval.engines.base.Engine; derive"),
        ("own_engines:function", r"is no subclass of"),
        ("own_engines:Partial", r"'own_engines:Partial' lacks complete; define it"),
    ],
)
def test_name_that_cannot_be_used_is_the_users_mistake(here, name, words):
    with pytest.raises(InputError, match=f"^readers.r.engine: .*{words}"):
        load(name)


def test_job_with_such_a_name_ends_with_2_and_one_line(inference, make_request):
    result = inference.run([make_request("q")], {"engine": "engines:ANSWER"})
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith("hopeval infer: readers.r.engine: 'engines:ANSWER' is no subclass")
