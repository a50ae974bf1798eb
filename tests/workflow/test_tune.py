"""``snakemake tune``: plans, measures every reader in use, shows it, and writes what --configfile takes."""

import shutil

import pytest
import yaml


@pytest.fixture
def tuned(place):
    """Runs it, and gives the configuration that came of it."""

    def run(*arguments, **how):
        done = place.do("tune", *arguments, **how)
        return done, yaml.safe_load((place.results / "tuning" / "tuned.yaml").read_text())

    return run


def configure(place, minutes=3, **readers):
    """Minutes are enough for a job to start on any machine; engines that stop growing at once need few of them."""
    place.questions(6)
    place.configure(**readers)
    mine = yaml.safe_load((place.folder / "mine.yaml").read_text())
    (place.folder / "mine.yaml").write_text(yaml.safe_dump({**mine, "tune": {"minutes": minutes, "repeats": 1}}))


def test_engines_of_ones_own(place, fake, tuned):
    slow = fake(options={"calls": "calls.txt", "delay_s": 0.2, "at_once": 1})
    configure(place, one=slow, other=slow)
    run, _ = tuned()
    assert run.jobs == {"prepare": 1, "retrieve": 1, "plan": 2, "tune_reader": 2, "tune": 1}
    for name in ("one", "other"):
        found = place.read(f"tuning/{name}/tuning.json")
        assert found["reader"] == name
        assert found["requests"] == 6
        assert f"{name}: engines:CountingEngine on " in run.output
        assert (place.results / "tuning" / name / "tuning.svg").exists()
        assert not (place.results / "readers" / name / "journal").exists()
    again, _ = tuned()
    assert again.jobs == {"tune": 1}
    assert "one: engines:CountingEngine on " in again.output


def test_the_configuration_is_laid_upon_ones_own_and_nothing_is_asked_again(place, fake, tuned):
    configure(place, minutes=0.3, one=fake(shards=2, options={"calls": "calls.txt"}))
    place.do()
    assert len(place.asked()) == 6
    _, written = tuned()
    assert set(written) == {"readers"}
    place.asked()
    tuned_file = place.results / "tuning" / "tuned.yaml"
    tuned_file.write_text("readers: {one: {concurrency: 4, shards: 3}}\n")  # as a sure recommendation would be
    run = place.do("--configfile", "mine.yaml", str(tuned_file), config=None)
    assert run.jobs["infer"] == 3
    assert place.asked() == []
    assert len(place.read("readers/one/responses.jsonl")) == 6


def test_a_reader_that_fails_does_not_stop_the_other(place, fake, tuned):
    good = fake(options={"delay_s": 0.1, "at_once": 1})
    configure(place, good=good, bad=fake("engines:CrashingEngine"))
    run, _ = tuned()
    assert "no recommendation: nothing could be measured" in run.output
    assert place.read("tuning/good/tuning.json")["results"][0]["rates"]
    assert place.read("tuning/bad/tuning.json")["results"][0]["left_out"]


def test_the_real_model(place, own_checkout, model, tuned):
    place.checkout = own_checkout
    models = own_checkout / "resources" / "models"
    models.mkdir()
    shutil.copy(model, models)
    configure(place, minutes=2)
    mine = yaml.safe_load((place.folder / "mine.yaml").read_text())
    mine["readers"] = {"smollm2": {"context_window": 512, "sampling": {"max_tokens": 4}}}
    mine["retrievers"] = {"bm25": None, "gold": None}
    (place.folder / "mine.yaml").write_text(yaml.safe_dump(mine))
    run, written = tuned("--cores", "2")
    cells = [result["cell"] for result in place.read("tuning/smollm2/tuning.json")["results"]]
    assert {(cell["shards"], cell["threads"]) for cell in cells} <= {(1, 2), (2, 1), (1, 1)}
    if "recommended: " in run.output:
        assert set(written["readers"]["smollm2"]) <= {"shards", "threads", "options"}
    else:
        assert written == {"readers": {}}
        assert "no recommendation: " in run.output


def test_a_mistake_in_its_section(place, fake):
    configure(place, minutes=0, one=fake())
    run = place.run("tune")
    assert "tune.minutes: found 0" in run.output
    assert run.code == 2
