"""GPUs that are not there, which is all that leasing needs."""

from itertools import combinations

import pytest

RESPONSES = "results/tiny/readers/reader/responses.jsonl"


@pytest.fixture
def on_gpus(place, fake, tmp_path):
    """Runs four shards and gives what each job saw, when: each holds its GPUs until ``together`` have had some,
    and then for so many seconds."""

    def run(*arguments, visible, gpus, share=1, holds_s=2.0, together=0):
        place.questions(4)
        options = {"delay_s": holds_s, "together": together}
        place.configure(reader=fake("engines:DeviceEngine", shards=4, gpus=gpus, share=share, options=options))
        environment = {"CUDA_VISIBLE_DEVICES": visible, "HOPEVAL_LOCKS": str(tmp_path / "locks")}
        done = place.run(RESPONSES, *arguments, environment=environment)
        calls = place.folder / "calls.txt"
        return done, jobs(calls.read_text().splitlines() if calls.exists() else [])

    return run


def jobs(lines):
    """The devices of each job, and the seconds at which it opened and closed its engine."""
    found = {}
    for line in lines:
        what, process, devices, at = line.split()
        found.setdefault(process, {"devices": devices.split(",")})[what] = float(at)
    return list(found.values())


def together(one, other):
    return max(one["start"], other["start"]) < min(one["end"], other["end"])


def most_at_once(found):
    return max((sum(other["start"] <= job["start"] < other["end"] for other in found) for job in found), default=0)


@pytest.mark.parametrize("arguments", [["--resources", "gpu=8"], []], ids=["gpu=8", "no resources"])
def test_two_of_eight_each(on_gpus, arguments):
    done, found = on_gpus(*arguments, visible="0,1,2,3,4,5,6,7", gpus=2, holds_s=0, together=4)
    assert done.code == 0, done.output
    assert [len(set(job["devices"])) for job in found] == [2, 2, 2, 2]
    assert most_at_once(found) > 1
    assert all(not set(a["devices"]) & set(b["devices"]) for a, b in combinations(found, 2) if together(a, b))


def test_resources_hold_jobs_back(on_gpus):
    done, found = on_gpus("--resources", "gpu=4", visible="0,1,2,3,4,5,6,7", gpus=2)
    assert done.code == 0, done.output
    assert len(found) == 4
    assert most_at_once(found) <= 2


def test_forgotten_resources_are_slow_and_not_wrong(on_gpus):
    done, found = on_gpus(visible="GPU-a,GPU-b", gpus=2, holds_s=0.3)
    assert done.code == 0, done.output
    assert [sorted(job["devices"]) for job in found] == [["GPU-a", "GPU-b"]] * 4
    assert most_at_once(found) == 1


def test_two_jobs_share_a_device(on_gpus):
    done, found = on_gpus("--resources", "gpu=2", visible="0,1", gpus=1, share=2, holds_s=0, together=3)
    assert done.code == 0, done.output
    assert [len(job["devices"]) for job in found] == [1] * 4
    assert most_at_once(found) > 2
    for device in "01":
        assert most_at_once([job for job in found if job["devices"] == [device]]) <= 2


def test_too_few_granted(on_gpus):
    done, found = on_gpus("--resources", "gpu=1", visible="0,1", gpus=2)
    assert done.code != 0
    assert not found
    assert "readers.reader.gpus: 2 needed for each job, but only 1 granted" in done.output
    assert "--resources gpu=2" in done.output
    assert "Traceback" not in done.output


def test_too_few_visible(on_gpus):
    done, found = on_gpus(visible="5", gpus=2)
    assert done.code != 0
    assert not found
    assert "gpus: 2 asked for, 1 visible: 5" in done.output
    assert "Traceback" not in done.output
