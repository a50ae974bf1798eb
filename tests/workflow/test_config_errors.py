"""A configuration that cannot work: every mistake is told, exit code 2, and nothing is begun."""

import pytest
import yaml


def refused(place, config, *arguments):
    """What snakemake says to this configuration."""
    (place.folder / "mine.yaml").write_text(yaml.safe_dump(config))
    run = place.run(*arguments)
    assert run.code == 2, run.output
    assert "Traceback" not in run.output
    assert "Job stats" not in run.output
    assert not (place.folder / "results").exists()
    return run.output.split("hopeval: ", 1)[1]


@pytest.mark.parametrize("arguments", [[], ["-n"]], ids=["run", "dry run"])
def test_all_mistakes_at_once(place, arguments):
    said = refused(
        place,
        {
            "dataset": {"max_qestions": 4},
            "retrievers": {"odd": {"kind": "bm52"}},
            "prompts": {"cited": {"output": "yaml"}},
            "readers": {"smollm2": {"shards": 0}, "big one": {"engine": "llama"}},
            "experimnts": "all",
        },
        *arguments,
    )
    assert said.startswith("7 mistakes in the configuration:\n")
    assert "dataset.max_qestions: unknown key (did you mean 'max_questions'?)" in said
    assert "retrievers.odd.kind: found 'bm52' (did you mean 'bm25'?)" in said
    assert "prompts.cited.output: found 'yaml'" in said
    assert "readers.smollm2.shards: found 0" in said
    assert "readers.big one: 'big one' is not a usable name" in said
    assert "readers.big one.engine: found 'llama'" in said
    assert "experimnts: unknown key" in said


def test_experiments_that_match_nothing(place):
    said = refused(place, {"experiments": ["gold.*", "bm52@*"]})
    assert said.startswith("1 mistake in the configuration:\n")
    assert "experiments.1: 'bm52@*' matches no experiment; there are: " in said
    assert "bm25@2.cited.smollm2" in said


def test_files_that_are_not_there_or_of_no_use(place):
    (place.folder / "broken.jinja").write_text("{{ question }}\n{% for passage in %}")
    said = refused(
        place,
        {
            "dataset": {"name": "mine", "questions": "nowhere.json", "corpus": "no/corpus.jsonl"},
            "prompts": {"cited": {"template": "lost.jinja"}, "other": {"template": "broken.jinja"}},
            "readers": {"smollm2": {"model": "lost.gguf"}},
        },
    )
    assert said.startswith("5 mistakes in the configuration:\n")
    assert "dataset.questions: no file at 'nowhere.json'" in said
    assert "dataset.corpus: no file at 'no/corpus.jsonl'" in said
    assert "prompts.cited.template: no file at 'lost.jinja'" in said
    assert "prompts.other.template: broken.jinja:2: template error" in said
    assert "readers.smollm2.model: no file at 'lost.gguf'" in said


def test_an_engine_that_cannot_be_loaded(place, fake):
    # Known only where the jobs run: it may be installed there and not here.
    place.questions(1)
    place.configure(reader=fake("nowhere:Engine"))
    run = place.run("results/tiny/readers/reader/responses.jsonl")
    assert run.code == 1
    assert (
        "readers.reader.engine: 'nowhere:Engine' cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"
        in run.output
    )
    assert "Traceback" not in run.output
