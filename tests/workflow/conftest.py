"""A place to run the workflow in: a folder of its own, a copy of the checkout, and real snakemake processes."""

import pytest

from places import REPOSITORY, Place, copy_checkout, fake, question

collect_ignore = ["own_engines.py"]  # for the jobs, which find what it imports by PYTHONPATH


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """What a clone has of the workflow; nobody edits it while the tests run."""
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def own_checkout(tmp_path):
    """The same, to be edited."""
    return copy_checkout(tmp_path / "checkout")


@pytest.fixture
def place(tmp_path, checkout):
    return Place(tmp_path / "place", checkout)


@pytest.fixture(name="fake")
def _fake():
    return fake


@pytest.fixture(name="question")
def _question():
    return question
