"""Retrievers that are built on others, as jobs: what runs, what runs again after an edit, what is found again."""

import json
import shutil

import pytest

SECTIONS = {
    "words": {"kind": "bm25"},
    "whole": {"kind": "bm25", "stemmer": None, "stopwords": None},
    "fused": {"kind": "hybrid", "of": ["words", "whole"], "top_k": 2},
}
CONTEXTS = "results/tiny/contexts/fused.jsonl"


def append(path, text):
    with open(path, "a") as file:
        file.write(text)


@pytest.fixture
def configure(place, fake):
    def configure(**changes):
        retrievers = {name: {**section, **changes.get(name, {})} for name, section in SECTIONS.items()}
        place.configure(retrievers=retrievers, experiments=["fused@*"], reader=fake())

    return configure


def test_what_others_are_built_on_runs_first_and_again_only_when_it_must(place, own_checkout, configure):
    place.checkout = own_checkout
    retrievers = own_checkout / "workflow" / "hopeval" / "retrievers"
    place.questions(4)
    configure()
    assert place.do(CONTEXTS).jobs == {"prepare": 1, "index": 2, "retrieve": 3}
    assert {path.name for path in (place.results / "runs").iterdir()} == {"words.trec", "whole.trec", "fused.trec"}
    assert len(indexes(place)) == 2

    # Cores and memory change nothing; how deep one looks changes no index.
    configure(words={"threads": 2, "mem_mb": 5000}, fused={"runtime": 7})
    assert place.do(CONTEXTS).nothing_to_do
    configure(words={"depth": 50})
    assert place.do(CONTEXTS).jobs == {"retrieve": 2}
    configure(fused={"weights": [1.0, 2.0]})
    assert place.do(CONTEXTS).jobs == {"retrieve": 2}

    # An edit runs what is made of it, and finds the index.
    before = indexes(place)
    append(retrievers / "hybrid.py", "# edited\n")
    assert place.do(CONTEXTS).jobs == {"retrieve": 1}
    append(retrievers / "bm25.py", "# edited\n")
    assert place.do(CONTEXTS).jobs == {"index": 2, "retrieve": 3}
    assert indexes(place) == before
    assert (place.results / "logs" / "index" / "words.log").read_text().startswith("found ")

    # Other settings are another index; that of the old ones is there when they come back.
    configure(words={"k1": 1.2}, fused={"weights": [1.0, 2.0]})
    assert place.do(CONTEXTS).jobs == {"index": 1, "retrieve": 2}
    assert len(indexes(place)) == 3
    configure(fused={"weights": [1.0, 2.0]})
    assert place.do(CONTEXTS).jobs == {"index": 1, "retrieve": 2}
    assert indexes(place).items() >= before.items()
    assert len(indexes(place)) == 3


def indexes(place):
    """The time at which each index was made."""
    made = (place.folder / "resources" / "indexes").glob("*/made.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in made}


def test_an_index_that_was_deleted_is_told_and_made_again(place, configure):
    place.questions(2)
    configure()
    place.do(CONTEXTS)
    shutil.rmtree(place.folder / "resources" / "indexes")
    run = place.run(CONTEXTS, "--forcerun", "retrieve")
    assert run.code == 1
    assert "its index is gone from resources/indexes/" in run.output
    assert "make it again: snakemake --forcerun index" in run.output
    assert place.do(CONTEXTS, "--forcerun", "index").jobs == {"index": 2, "retrieve": 3}


def test_a_run_file_of_others_is_taken_as_it_is_and_again_when_replaced(place, fake, records):
    place.questions(2)
    place.configure(retrievers={"bm25": {"kind": "bm25"}}, reader=fake())
    place.do("results/tiny/runs/bm25.trec")
    theirs = place.folder / "theirs.trec"
    lines = (place.results / "runs" / "bm25.trec").read_text().splitlines()
    theirs.write_text("\n".join(lines))
    place.configure(retrievers={"theirs": {"kind": "run", "file": "theirs.trec"}}, reader=fake())
    place.do("results/tiny/contexts/theirs.jsonl")
    ours = [passage_ids(context) for context in records(place.results / "contexts" / "bm25.jsonl")]
    assert [passage_ids(context) for context in records(place.results / "contexts" / "theirs.jsonl")] == ours

    theirs.write_text("\n".join(line for line in lines if " 1 " in line))
    assert place.do("results/tiny/contexts/theirs.jsonl").jobs == {"retrieve": 1}
    contexts = records(place.results / "contexts" / "theirs.jsonl")
    assert [passage_ids(context) for context in contexts] == [found[:1] for found in ours]

    place.configure(retrievers={"theirs": {"kind": "run", "file": "lost.trec"}}, reader=fake())
    run = place.run()
    assert run.code == 2
    assert "retrievers.theirs.file: no file at 'lost.trec'; correct the path" in run.output


def passage_ids(context):
    return [passage["id"] for passage in context["passages"]]


def test_as_a_module_with_a_prefix_the_indexes_lie_with_the_results(place, fake):
    place.questions(2)
    place.configure(retrievers={"bm25": {"kind": "bm25"}}, reader=fake())
    snakefile = place.folder / "Outer"
    snakefile.write_text(
        f'configfile: "mine.yaml"\nmodule hopeval:\n    snakefile: {json.dumps(str(place.checkout / "Snakefile"))}\n'
        '    config: config\n    prefix: "inner"\nuse rule * from hopeval\n'
    )
    place.do("inner/results/tiny/contexts/bm25.jsonl", snakefile=snakefile)
    manifest = json.loads((place.folder / "inner/results/tiny/indexes/bm25.json").read_text())
    assert manifest["folder"] == f"inner/resources/indexes/{manifest['key']}"
    assert (place.folder / manifest["folder"]).is_dir()
