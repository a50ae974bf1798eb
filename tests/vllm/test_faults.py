"""Whatever happens to an engine: what is answered stays, its reason is told, and nothing is left running."""

import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"
THINKING = """
import json, sys
from pathlib import Path
from safetensors.torch import load_file, save_file
model, folder = map(Path, sys.argv[1:])
tokens = json.loads((model / "tokenizer.json").read_text())
vocabulary = tokens["model"]["vocab"]
for index, tag in {15: "<think>", 16: "</think>"}.items():
    (old,) = (entry for entry in tokens["added_tokens"] if entry["id"] == index)
    vocabulary[tag] = vocabulary.pop(old["content"])
    old.update(content=tag, special=False)
(folder / "tokenizer.json").write_text(json.dumps(tokens))
weights = load_file(model / "model.safetensors")
embedding = weights["model.embed_tokens.weight"]
# Wherever a comma would be the likeliest token, </think> is likelier by a little.
embedding[16] = embedding[vocabulary[","]] * 1.02
save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
"""


@pytest.fixture(scope="module")
def long_answers(ask):
    """Twelve questions with long answers."""
    return [ask(f"q{number}", f"Tell me a long story of {number} whales in a forest.") for number in range(12)]


@pytest.fixture(scope="module")
def stories(shard, long_answers):
    """A journal that several jobs write one after the other, however each of them ends."""

    def job(**settings):
        made = shard(sampling={"max_tokens": 60}, **settings)
        if first:
            made.journal = first[0].journal
        first.append(made)
        return made

    first = []
    return job


def told(words):
    """What the job says in the end; Python's own warnings of what a killed process left may follow."""
    (line,) = (line for line in words.splitlines() if line.startswith("hopeval infer: "))
    return line


def summary(words):
    """The shard's last line: answered, from the journal, failed."""
    (line,) = (line for line in words.splitlines() if line.startswith("shard 1-of-1: "))
    return tuple(int(part.split()[0]) for part in line.removeprefix("shard 1-of-1: ").split(", ")[:3])


def test_a_dead_core_ends_the_job_at_once_with_its_reason(stories, long_answers):
    job = stories().start(long_answers)
    job.wait_until(lambda: len(job.journaled()) >= 2)
    (core,) = job.processes("EngineCore")
    os.kill(core, signal.SIGKILL)
    begun = time.monotonic()
    ended = job.finish()
    assert time.monotonic() - begun < 30
    assert ended.code == 1
    assert told(ended.words).startswith("hopeval infer: question ")
    assert "vLLM's engine died: its process was killed (SIGKILL)" in told(ended.words)
    assert job.gone()
    assert all("error" not in line for line in job.journaled())


def test_a_hung_core_ends_the_job_when_all_in_flight_are_out_of_time(shard, long_answers):
    job = shard(timeout_s=30, give_up_s=10).start(long_answers)
    job.wait_until(lambda: len(job.journaled()) >= 2)
    (core,) = job.processes("EngineCore")
    os.kill(core, signal.SIGSTOP)
    try:
        answered = {line["key"] for line in job.journaled() if "error" not in line}
        ended = job.finish()
        assert ended.code == 1
        assert told(ended.words).startswith("hopeval infer: no answer for ")
        assert told(ended.words).endswith("only failures; the last: no answer within 30 s (timeout_s)")
        assert job.gone()
    finally:
        with suppress(ProcessLookupError):
            os.kill(core, signal.SIGCONT)
    kept = {line["key"] for line in job.journaled() if "error" not in line}
    assert answered <= kept
    assert 2 <= len(kept) < len(long_answers)


def test_told_to_end_a_job_finishes_what_is_in_flight_and_the_next_asks_for_the_rest(stories, long_answers):
    job = stories().start(long_answers)
    before = len(job.journaled())
    job.wait_until(lambda: len(job.journaled()) >= before + 2)
    known = len(job.journaled())
    # As SLURM does: to the job and to all of vLLM's processes.
    for pid in job.processes():
        os.kill(pid, signal.SIGTERM)
    ended = job.finish()
    assert ended.code == 1
    assert "told to end; all answers so far are kept" in told(ended.words)
    assert job.gone()
    kept = job.journaled()
    assert known < len(kept) < len(long_answers)
    assert all(line["finish_reason"] in ("stop", "length") and "error" not in line for line in kept)

    job = stories()
    ended = job.run(long_answers)
    assert ended.code == 0, ended.words
    assert summary(ended.words) == (len(long_answers) - len(kept), len(kept), 0)
    assert [response.key for response in job.responses()] == [request.key for request in long_answers]


def test_of_two_on_one_host_one_loads_and_when_it_is_killed_the_other(shard, long_answers):
    jobs = [
        shard(sampling={"max_tokens": 8}).start(half, VLLM_PORT="29000")
        for half in (long_answers[:6], long_answers[6:])
    ]
    jobs[0].wait_until(lambda: any(job.processes("orker") for job in jobs))
    first, second = sorted(jobs, key=lambda job: -len(job.processes("orker")))
    assert not second.processes("EngineCore")
    second.wait_until(lambda: "waiting while another job loads its model on device cpu" in second.log.read_text())

    first.process.kill()  # still loading: the moment at which nobody has taken charge of its children yet
    first.process.wait()
    assert first.gone()
    ended = second.finish()
    assert ended.code == 0, ended.words
    assert len(second.responses()) == 6


def test_a_job_that_is_told_to_end_while_loading_leaves_no_process(shard, long_answers):
    job = shard().start(long_answers)
    job.wait_until(lambda: job.processes("EngineCore"))
    os.killpg(job.process.pid, signal.SIGTERM)
    assert job.process.wait(60) != 0
    assert job.gone()


def test_too_little_memory_is_told_in_one_message(shard, ask):
    job = shard(options={"gpu_memory_utilization": 1.0})
    ended = job.run([ask("q", "Who?")], VLLM_CPU_KVCACHE_SPACE=None)
    assert ended.code == 2
    last = told(ended.words)
    assert last.startswith("hopeval infer: out of memory while vLLM loads: ValueError: Available memory on node")
    assert "is less than desired CPU memory utilization (1.0, " in last
    assert "asked for: gpu_memory_utilization 1, max_model_len 1024, max_num_seqs 2; lower " in last
    assert "context_window" in last
    assert job.gone()


@pytest.fixture(scope="module")
def thinking(python, model, variant):
    """The model with two of its unused tokens as <think> and </think>, which writes the latter for commas."""
    folder = variant("thinking", without=["model.safetensors", "tokenizer.json"])
    subprocess.run([str(python), "-c", THINKING, str(model), str(folder)], check=True, timeout=300)
    return folder


def test_thinking_is_kept_apart_and_a_chat_template_of_ones_own_is_used(shard, thinking, ask, tmp_path):
    (tmp_path / "own.jinja").write_text(TEMPLATE)
    settings = {"chat_template": str(tmp_path / "own.jinja"), "options": {"reasoning_parser": "deepseek_r1"}}
    job = shard(thinking, sampling={"max_tokens": 16}, **settings)
    ended = job.run([ask("q", "The days of the week are")])
    assert ended.code == 0, ended.words
    (response,) = job.responses()
    # Five words and no more: the model's own template would say much about an assistant.
    assert response.prompt_tokens < 10
    assert response.reasoning
    assert response.text
    assert "think>" not in response.reasoning + response.text
