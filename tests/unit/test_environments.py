"""The locks, envs/*.yaml and pyproject.toml must tell one story."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def locked(name: str) -> dict[str, str]:
    """Version by package of one lock; a package in two versions is an error."""
    text = (ROOT / "requirements" / name).read_text()
    pins = re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    assert len(dict(pins)) == len(pins)
    return {canonicalize_name(package): version for package, version in pins}


def pip_pins(path: Path) -> dict[str, str]:
    """Version by package of the pip part of a conda environment, in which only exact pins may stand."""
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    (listed,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    pins = [pin.split("==") for pin in listed]
    return {canonicalize_name(package): version for package, version in pins}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_has_the_versions_of_the_lock(path: Path) -> None:
    run = locked("run.txt")
    pins = pip_pins(path)
    assert pins == {package: run.get(package, version) for package, version in pins.items()}


def test_environments_hold_what_the_project_needs_but_no_strangers() -> None:
    needed = names(PROJECT["dependencies"])
    pins = {path.stem: set(pip_pins(path)) for path in ENVIRONMENTS}
    assert pins["workflow"] | pins["llamacpp"] | pins["openai"] == needed
    assert pins["vllm"] <= needed | {"vllm"}
    assert pins["dense"] <= needed | names(PROJECT["optional-dependencies"]["dense"])
    assert {"xllamacpp", "vllm", "sentence-transformers"}.isdisjoint(pins["workflow"])


def test_dense_environments_are_of_the_same_versions_and_serve_the_extra() -> None:
    lock = locked("dense-cpu.txt")
    assert pip_pins(ROOT / "envs" / "dense.yaml").items() <= lock.items()
    for requirement in map(Requirement, PROJECT["optional-dependencies"]["dense"]):
        assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize(("lock", "extras"), [("run.txt", []), ("test.txt", ["test", "lint"])], ids=["run", "test"])
def test_lock_satisfies_the_project(lock: str, extras: list[str]) -> None:
    pins = locked(lock)
    wanted = PROJECT["dependencies"] + [text for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_locks_agree_and_stay_lean() -> None:
    run, test = locked("run.txt"), locked("test.txt")
    assert run.items() <= test.items()
    assert locked("build.txt").items() <= run.items()
    assert {"torch", "sentence-transformers", "vllm", "snakemake-executor-plugin-slurm"}.isdisjoint(test)


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_lock_checks_every_file_and_names_no_place(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host|\.(org|com|net|io)\b", text)
    entries = re.split(r"^(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.fullmatch(r"[\w.-]+==[^\s;]+( ; [^\\\n]+)? \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry), entry
