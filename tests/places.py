"""Places to run the workflow in: a folder of its own, a copy of the checkout, and real snakemake processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
HANGS_AFTER_S = 900


def copy_checkout(folder):
    for name in ("workflow", "profiles", "envs", "resources/sample", "config"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(REPOSITORY / name, folder)
    return folder


class Place:
    """A working directory with questions of its own, a configuration, and snakemake in it."""

    python = sys.executable

    def __init__(self, folder, checkout):
        self.folder, self.checkout = folder, checkout
        self.results = folder / "results" / "tiny"
        folder.mkdir(parents=True)

    def questions(self, count=6):
        """Write HotpotQA questions about makers of things, and where they were born."""
        (self.folder / "questions.json").write_text(json.dumps([question(i) for i in range(count)]))

    def configure(self, *, dataset=None, retrievers=None, prompts=None, experiments="all", **readers):
        """Write mine.yaml: only these retrievers and readers, the questions of our own unless ``dataset`` differs."""
        config = {
            "dataset": {"name": "tiny", **(dataset or {"questions": "questions.json"})},
            "retrievers": {"none": None, "bm25": None, "gold": None, **(retrievers or {"given": {"kind": "given"}})},
            "prompts": prompts or {},
            "readers": {"smollm2": None, **readers},
            "experiments": experiments,
        }
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(config))

    def command(self, *arguments, snakefile=None, profile="profiles/default"):
        snakefile = snakefile or self.checkout / "Snakefile"
        profiles = ["--workflow-profile", str(self.checkout / profile)] if profile else []
        return [
            *(self.python, "-m", "snakemake", "--snakefile", str(snakefile)),
            *(*profiles, "--cores", "4", *arguments),
        ]

    def environment(self):
        return clean_environment()

    def start(self, *arguments, environment=None, **how):
        """Snakemake as a process, with its jobs in a process group of their own."""
        return subprocess.Popen(
            self.command(*arguments, **how),
            cwd=self.folder,
            env=self.environment() | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments, config="mine.yaml", hangs_after_s=HANGS_AFTER_S, **how):
        """What snakemake did."""
        process = self.start(*arguments, *(("--configfile", config) if config else ()), **how)
        try:
            output, _ = process.communicate(timeout=hangs_after_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Run(process.returncode, output)

    def do(self, *arguments, **how):
        """The same, and it has to go well."""
        run = self.run(*arguments, **how)
        assert run.code == 0, run.output
        return run

    def read(self, path):
        """A file of the results: JSON, or a list of JSON Lines."""
        text = (self.results / path).read_text()
        return [json.loads(line) for line in text.splitlines()] if path.endswith(".jsonl") else json.loads(text)

    def keys(self, path):
        return [record["key"] for record in self.read(path)]

    def asked(self):
        """The keys that the engines were called with since the last time we looked, in order of the calls."""
        calls = self.folder / "calls.txt"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [line.split()[1] for line in lines]


class Run:
    """Exit code and output of a snakemake process."""

    def __init__(self, code, output):
        self.code, self.output = code, output

    @property
    def jobs(self):
        """How many jobs of each rule there were to do, without the target rules."""
        table = re.search(r"^Job stats:\njob +count\n[- ]+\n(.*?)^total", self.output, re.MULTILINE | re.DOTALL)
        counts = dict(line.split() for line in table.group(1).splitlines()) if table else {}
        return {rule: int(count) for rule, count in counts.items() if rule not in ("all", "default")}

    @property
    def nothing_to_do(self):
        return self.code == 0 and "Nothing to be done" in self.output and not self.jobs


def question(number):
    town = f"Town {number}"
    return {
        "_id": f"q{number}",
        "question": f"Where was the maker of clock {number} born?",
        "answer": town,
        "type": ("bridge", "comparison")[number % 2],
        "level": ("easy", "hard")[number % 2],
        "supporting_facts": [[f"Clock {number}", 0], [f"Maker {number}", 1]],
        "context": [
            [f"Clock {number}", [f"Clock {number} was made by Maker {number}.", " It is blue."]],
            [f"Maker {number}", [f"Maker {number} is a maker.", f" He{number} was born in {town}."]],
            [f"Spoon {number}", ["A spoon has nothing to do with it.", " Nobody made it."]],
        ],
    }


def clean_environment():
    """Ours, without what would steer Snakemake or hand out GPUs, and with the folder of our engines."""
    strange = ["CUDA_VISIBLE_DEVICES", "HOPEVAL_LOCKS", "PYTHONPATH", "SNAKEMAKE_PROFILE", "SLURM_JOB_ID"]
    kept = {name: value for name, value in os.environ.items() if name not in strange}
    return kept | {"PYTHONPATH": f"{REPOSITORY / 'tests'}:{REPOSITORY / 'tests' / 'workflow'}"}


def fake(engine="engines:CountingEngine", *, shards=2, options=None, **settings):
    """A reader's section; what its engine is asked goes to calls.txt."""
    return {"engine": engine, "shards": shards, "options": {"calls": "calls.txt", **(options or {})}, **settings}
