"""Wherever the workflow lies, wherever it is run, and as a part of another workflow."""

import shutil
import subprocess
import sys

import pytest
import yaml

READING = "own_engines:ReadingEngine"


def test_odd_names_other_directory_and_no_environment_on_path(tmp_path, checkout, place, fake):
    # The folder of the results, that of the data and the checkout have names that a shell would trip over.
    odd = tmp_path / 'it\'s a "place" of $HOME; (really)'
    shutil.copytree(checkout, odd / "hop eval's")
    place.questions(2)
    (odd / "data").mkdir()
    (place.folder / "questions.json").rename(odd / "data" / "my 'own' questions.json")
    (odd / "data" / "my prompt's.jinja").write_text("{{ passages[1].sentences[1].label }} Where? {{ question }}")
    place.checkout = odd / "hop eval's"
    place.configure(
        dataset={"questions": str(odd / "data" / "my 'own' questions.json")},
        prompts={"cited": {"template": str(odd / "data" / "my prompt's.jinja")}},
        reader=fake(READING),
    )
    place.do("--directory", str(odd / "work dir"), environment={"PATH": "/usr/bin:/bin"})
    assert (odd / "work dir" / "results" / "tiny" / "leaderboard.csv").is_file()
    assert sorted(path.name for path in place.folder.iterdir()) == ["mine.yaml"]


def test_the_profile_is_found_and_in_force_without_being_named(place, checkout, fake):
    """Every shard fails: after the first the others run all the same, and their logs are shown."""
    place.questions(3)
    place.configure(reader=fake("engines:FailingEngine", shards=3, options={"questions": ["q0", "q1", "q2"]}))
    shutil.copytree(checkout, place.folder, dirs_exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "mine.yaml"],
        cwd=place.folder,
        env=place.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Using workflow specific profile profiles/default" in done.stderr
    assert all(f"q{i}: the engine was told to fail" in done.stderr for i in range(3))


def test_workflow_folder_as_for_a_remote_one(place, checkout, fake):
    place.questions(2)
    place.configure(reader=fake(READING))
    run = place.do(snakefile=checkout / "workflow" / "Snakefile")
    assert run.jobs["infer"] == 2
    assert "given.cited.reader" in run.output.split("Finished jobid: 0")[1]
    assert place.do(snakefile=checkout / "workflow" / "Snakefile").nothing_to_do


def test_as_a_module(place, checkout, fake):
    """Once as it is, once under a prefix with renamed rules and another number of shards for the same reader."""
    place.questions(2)
    place.configure(reader=fake(READING, shards=2))
    config = yaml.safe_load((place.folder / "mine.yaml").read_text())
    (place.folder / "Snakefile").write_text(f"""
module hopeval:
    snakefile: {str(checkout / "Snakefile")!r}
    config: {config!r}

use rule * from hopeval

module again:
    snakefile: {str(checkout / "Snakefile")!r}
    prefix: "sub"
    config: {config | {"readers": {"smollm2": None, "reader": fake(READING, shards=1)}}!r}

use rule * from again as again_*

rule both:
    default_target: True
    input: rules.all.input, rules.again_all.input
    output: touch("both.done")
""")
    run = place.do(snakefile="Snakefile", config=None)
    assert run.jobs["infer"] == 2
    assert run.jobs["again_infer"] == 1
    results = place.folder / "results" / "tiny"
    elsewhere = place.folder / "sub" / "results" / "tiny"
    for folder, shards in ((results, 2), (elsewhere, 1)):
        names = [path.name for path in (folder / "readers/reader/responses").iterdir()]
        assert sorted(names) == [f"{i}-of-{shards}.jsonl" for i in range(1, shards + 1)]
        assert len(list((folder / "readers/reader/journal").glob("*.jsonl"))) == shards
        assert "1,given.cited.reader,given,,cited,reader,2,1.0," in (folder / "leaderboard.csv").read_text()
    here = sorted(path.name for path in place.folder.iterdir() if not path.name.startswith("."))
    assert here == ["Snakefile", "both.done", "calls.txt", "mine.yaml", "questions.json", "results", "sub"]
    assert place.do(snakefile="Snakefile", config=None).nothing_to_do


def test_from_github(place, checkout, fake, tmp_path):
    """Without the network: what Snakemake would have cloned from there is in its cache already."""
    remote = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    clones = tmp_path / "cache" / "snakemake" / "snakemake" / "source-cache" / "snakemake-git-cache"
    publish(checkout, tmp_path / "repository", clones / "github.com" / "owner" / "hopeval")
    sample = {"dataset": {"max_questions": 2}, "retrievers": {"gold": None, "none": None}}
    readers = {"readers": {"smollm2": None, "reader": fake(READING)}, "experiments": ["bm25@2.*"]}
    (place.folder / "mine.yaml").write_text(yaml.safe_dump(sample | readers))
    as_snakefile = {"snakefile": "gh:owner/hopeval@v1", "profile": None, "environment": remote}
    run = place.do(**as_snakefile)
    assert run.jobs["infer"] == 2
    assert (
        "1,bm25@2.cited.reader,bm25,2,cited,reader,2,"
        in (place.folder / "results" / "sample" / "leaderboard.csv").read_text()
    )
    assert place.do(**as_snakefile).nothing_to_do

    config = yaml.safe_load((place.folder / "mine.yaml").read_text())
    (place.folder / "Snakefile").write_text(f"""
module hopeval:
    snakefile: github("owner/hopeval", path="workflow/Snakefile", tag="v1")
    config: {config!r}

use rule * from hopeval
""")
    assert place.do(snakefile="Snakefile", config=None, environment=remote).nothing_to_do


def publish(checkout, repository, clone):
    """A bare clone with the tag v1."""
    shutil.copytree(checkout, repository, ignore=shutil.ignore_patterns("__pycache__"))
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", str(repository)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"], ["tag", "v1"]):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(clone)], check=True)


def test_a_file_of_ones_own_is_laid_over_the_defaults(place):
    """One key of one section: all others stay, so that the sample's two questions make four experiments."""
    (place.folder / "mine.yaml").write_text(yaml.safe_dump({"dataset": {"max_questions": 2}}))
    place.do("results/sample/questions.jsonl", "results/sample/contexts/bm25.jsonl")
    questions = place.folder / "results" / "sample" / "questions.jsonl"
    assert len(questions.read_text().splitlines()) == 2
    assert place.run("-n").jobs["predict"] == 4


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_lint(place, checkout, snakefile):
    run = place.do("--lint", config=None, snakefile=checkout / snakefile)
    assert "Congratulations" in run.output


def test_one_file_without_the_rest(place, fake):
    place.questions(2)
    place.configure(reader=fake())
    run = place.do("results/tiny/contexts/given.jsonl")
    assert run.jobs == {"prepare": 1, "retrieve": 1}
    # There is no leaderboard to show, which is nobody's mistake.
    assert "hopeval show" not in run.output
