"""``hopeval tune`` of a vLLM reader on CPUs: real engines, started, measured and ended."""

import json
import os
from pathlib import Path

from hopeval.io import write_records
from hopeval.tuning.findings import read_findings


def test_without_gpus_cores_are_split(hopeval, python, model, ask, environment, tmp_path, monkeypatch):
    """One core, so one split, and one number of sequences; nothing of vLLM's is left when it has been measured."""
    monkeypatch.setattr("hopeval.tuning.tuner._LONGEST_S", 0.5)
    monkeypatch.setattr("hopeval.tuning.cells._SEQUENCES", (32,))
    for name, value in environment(HOPEVAL_LOCKS=str(tmp_path / "locks")).items():
        monkeypatch.setenv(name, value)
    write_records(tmp_path / "requests.jsonl", [ask(f"q{i}", f"Who was maker {i} of clocks?") for i in range(4)])
    options = {"enforce_eager": True, "block_size": 32, "max_num_seqs": 4, "dtype": "float32"}
    settings = {"engine": "vllm", "model": "-", "python": str(python), "options": options, "context_window": 1024}
    files = {"model": model, "requests": tmp_path / "requests.jsonl", "output": tmp_path / "tuning.json"}
    arguments = {"reader": "v", "settings": json.dumps({**settings, "sampling": {"max_tokens": 4}}), **files}
    arguments |= {"threads": 1, "repeats": 1, "minutes": 60}
    hopeval("tune", *(f"--{name}={value}" for name, value in arguments.items()))
    split, sequences = read_findings(tmp_path / "tuning.json").results
    assert (split.cell.shards, split.cell.threads) == (1, 1)
    assert split.rates, split.left_out
    assert split.memory_mb > 500
    assert dict(sequences.cell.options) == {"max_num_seqs": 32}
    assert sequences.rates, sequences.left_out
    assert not [pid for pid in _others() if str(tmp_path).encode() in _variables(pid)]


def _others() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdecimal() and name != str(os.getpid())]


def _variables(pid: str) -> bytes:
    """The environment of a process, as the kernel keeps it; nothing for one that is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
