"""What is printed and written of findings: one line to take over, or why there is none."""

import json

import msgspec
import pytest
import yaml

from hopeval.config import json_schema, merge, parse_config
from hopeval.tuning.cells import Cell, batch_cells
from hopeval.tuning.findings import Findings, described, flow
from hopeval.tuning.search import Result

jsonschema = pytest.importorskip("jsonschema")


@pytest.fixture
def findings():
    """Two splits and a batch, the better one sure; ``rates`` are others of that, fields may differ."""

    def make(rates=(10.0, 10.2, 10.1), reader="q", **fields):
        split = Cell(shards=2, threads=4)
        results = [
            Result(cell=Cell(shards=1, threads=8), model="a.gguf", rates=[5.0], memory_mb=900.0),
            Result(cell=split, model="a.gguf", rates=list(rates), memory_mb=1600.0),
            Result(cell=batch_cells(split, 4096)[0], model="a.gguf", rates=[9.0, 9.1, 9.0]),
            Result(cell=Cell(shards=8, threads=1), model="a.gguf", left_out="needs about 9,000 MB"),
        ]
        about = {"engine": "llamacpp", "host": "h", "at": "2026-01-01T00:00:00+00:00", "models": ["a.gguf"]}
        numbers = {"cores": (8, 8), "requests": 24, "repeats": 3, "seconds": 100.0}
        return Findings(**{"reader": reader, **about, **numbers, "results": results, **fields})

    return make


@pytest.fixture
def saved(tmp_path):
    def save(found, name="tuning.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(msgspec.to_builtins(found)))
        return path

    return save


def test_table_curve_and_recommendation(findings):
    lines = list(described(findings()))
    assert lines[0] == "q: llamacpp on h, 8 cores; 24 requests of this run, 100 s"
    best = next(line for line in lines if "◄" in line)
    assert best.split()[:6] == ["2", "×", "4", "threads", "10.1", "2%"]
    bars = [line.count("█") for line in lines if "█" in line]
    assert bars == [15, 30, 27]
    assert "  left out: 8 × 1 thread: needs about 9,000 MB" in lines
    assert lines[-1] == "recommended: readers: {q: {shards: 2, threads: 4}}"


def test_noise_is_told_and_nothing_recommended(findings):
    found = findings(rates=(10.0, 13.0, 10.0))
    *_, told, unsure = described(found)
    assert told == "no recommendation: its repeats differ by 30% (more than 10%)"
    assert unsure == "unsure; tune again when nothing else runs: readers: {q: {shards: 2, threads: 4}}"
    assert found.configuration == {}


def test_nothing_could_be_measured(findings):
    found = findings(results=[Result(cell=Cell(concurrency=1), left_out="no answer", model="a.gguf")])
    assert list(described(found))[-1] == "no recommendation: nothing could be measured; the reasons stand above"


def test_another_quantisation_is_compared_but_not_recommended(findings):
    faster = Result(cell=Cell(shards=2, threads=4), model="b.gguf", rates=[20.0, 20.4])
    one = findings()
    found = findings(models=["a.gguf", "b.gguf"], results=[*one.results, faster])
    text = "\n".join(described(found))
    assert "b.gguf: 2.00 × as many answers/s, with 2 × 4 threads; another model or quantisation gives other" in text
    assert found.configuration == one.configuration


def test_what_a_job_says_does_not_steer_the_terminal(findings):
    found = findings(results=[Result(cell=Cell(concurrency=1), left_out="\x1b[2Jgone", model="a.gguf")])
    assert "\x1b" not in "\n".join(described(found))


def test_measured_again_drawn_and_written(hopeval, saved, findings, tmp_path):
    path, tuned = saved(findings()), tmp_path / "tuned.yaml"
    out = hopeval("tune", "--measured", path, "--write", tuned)
    assert "recommended: readers: {q: {shards: 2, threads: 4}}" in out
    assert f"{tuned}: written for q" in out
    assert path.with_suffix(".svg").read_text().startswith("<?xml")
    assert yaml.safe_load(tuned.read_text()) == {"readers": {"q": {"shards": 2, "threads": 4}}}


def test_the_file_is_laid_upon_a_configuration(hopeval, saved, findings, tmp_path):
    hopeval("tune", "--measured", saved(findings()), "--write", tmp_path / "tuned.yaml")
    written = yaml.safe_load((tmp_path / "tuned.yaml").read_text())
    jsonschema.Draft202012Validator(json_schema()).validate(written)
    base = {
        "dataset": {"name": "d", "questions": "q.json"},
        "retrievers": {"none": {"kind": "none"}},
        "prompts": {"p": {"template": "t"}},
        "readers": {"q": {"engine": "llamacpp", "model": "m", "shards": 9, "options": {"n_gpu_layers": 0}}},
    }
    reader = parse_config(merge(base, written)).readers["q"]
    assert (reader.shards, reader.threads, reader.options) == (2, 4, {"n_gpu_layers": 0})


def test_several_readers_and_times_share_a_file(hopeval, saved, findings, tmp_path):
    tuned = tmp_path / "tuned.yaml"
    hopeval("tune", "--measured", saved(findings()), saved(findings(reader="r"), "r.json"), "--write", tuned)
    assert list(yaml.safe_load(tuned.read_text())["readers"]) == ["q", "r"]
    noisy = saved(findings(rates=(10.0, 14.0)), "noisy.json")
    out = hopeval("tune", "--measured", noisy, "--write", tuned)
    assert f"{tuned}: written, with no recommendation" in out
    assert list(yaml.safe_load(tuned.read_text())["readers"]) == ["q", "r"]  # what was sure stays
    assert "# no recommendation: its repeats differ" in tuned.read_text()


def test_without_a_recommendation_the_file_changes_nothing(hopeval, saved, findings, tmp_path):
    hopeval("tune", "--measured", saved(findings(rates=(10.0, 14.0))), "--write", tmp_path / "tuned.yaml")
    assert yaml.safe_load((tmp_path / "tuned.yaml").read_text()) == {"readers": {}}


def test_a_file_of_the_users_own_is_not_overwritten(refused, saved, findings, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("readers: {}  # mine\n")
    assert "did not write; name another one" in refused("tune", "--measured", saved(findings()), "--write", mine)
    assert mine.read_text() == "readers: {}  # mine\n"


BROKEN = ["readers: [1]\n", "- 1\n", "readers: {a: {\n", "readers: a\n"]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_told_before_anything_is_measured(refused, saved, findings, write, content):
    header = "# Written by hopeval tune. Lay it upon your own configuration: --configfile mine.yaml tuned.yaml\n"
    told = refused("tune", "--measured", saved(findings()), "--write", write("tuned.yaml", header + content))
    assert "tuned.yaml: " in told
    assert "mend it, remove it or name another file" in told


def test_a_folder_is_no_file_to_write(refused, saved, findings, tmp_path):
    assert "cannot be read: Is a directory" in refused("tune", "--measured", saved(findings()), "--write", tmp_path)


def test_what_else_stands_there_stays(hopeval, saved, findings, tmp_path):
    tuned = tmp_path / "tuned.yaml"
    hopeval("tune", "--measured", saved(findings()), "--write", tuned)
    tuned.write_text(tuned.read_text().partition("readers:")[0] + "tune: {minutes: 5}\nreaders:\n")
    hopeval("tune", "--measured", saved(findings()), "--write", tuned)
    written = yaml.safe_load(tuned.read_text())
    assert written == {"tune": {"minutes": 5}, "readers": {"q": {"shards": 2, "threads": 4}}}


@pytest.mark.parametrize("field", ["host", "at", "reader"])
def test_no_text_of_a_file_becomes_configuration(hopeval, saved, findings, tmp_path, field):
    evil = "x\nprompts: {evil: {template: t}}\r\x85\u2028more: 1"
    found = findings(**{"rates": (10.0, 14.0), field: evil})
    out = hopeval("tune", "--measured", saved(found), "--write", tmp_path / "tuned.yaml")
    assert yaml.safe_load((tmp_path / "tuned.yaml").read_text()) == {"readers": {}}
    assert "\r" not in out


@pytest.mark.parametrize("cell", [{"shards": 0}, {"concurrency": -1}, {"options": [["n_batch", 0]]}])
def test_no_set_up_that_cannot_be(refused, findings, write, cell):
    found = msgspec.to_builtins(findings())
    found["results"][0]["cell"] = cell
    assert "name a file that hopeval tune has written" in refused("tune", "--measured", write("x.json", found))


def test_findings_of_no_model(refused, saved, findings):
    assert "models" in refused("tune", "--measured", saved(findings(models=[])))


@pytest.mark.parametrize("content", ["{", "[]", '{"reader": 1}', b"\xff"])
def test_what_is_no_file_of_tunes(refused, write, content):
    assert "name a file that hopeval tune has written" in refused("tune", "--measured", write("x.json", content))


def test_no_such_file(refused, tmp_path):
    assert "cannot be read" in refused("tune", "--measured", tmp_path / "none.json")


def test_one_line_of_yaml():
    line = flow({"readers": {"q-1.5": {"shards": 2, "options": {"n_batch": 512}}}})
    assert line == "readers: {q-1.5: {shards: 2, options: {n_batch: 512}}}"
    assert yaml.safe_load(line)["readers"]["q-1.5"]["shards"] == 2
