"""Working directories of a user of the cluster."""

import os

from places import REPOSITORY, Place, fake
from waiting import wait_until

PYTHON = REPOSITORY / ".venv-slurm" / "bin" / "python"
RESPONSES = "results/tiny/readers/reader/responses.jsonl"

_SPREAD = """
import os
from contextlib import suppress

with suppress(ImportError):  # Snakemake itself does not find hopeval
    from hopeval import claims, owners

    owners._machine = lambda: f"that of job {os.environ.get('SLURM_JOB_ID')}"
    claims.SILENCE_S = 1.0
    owners._ASK_S = 60.0
"""


class OnSlurm(Place):
    """A place whose snakemake has the SLURM plugin, and submits when it is asked to."""

    python = str(PYTHON)

    def __init__(self, folder, checkout, bed):
        super().__init__(folder, checkout)
        self.bed, self.processes, self.variables = bed, [], {}

    def environment(self):
        kept = {name: value for name, value in super().environment().items() if not name.startswith("SLURM_")}
        return kept | self.bed.environment | self.variables

    def spread(self):
        """Let each job believe that it is alone on its machine, and have no patience with the silent.

        All nodes of the bed share one kernel: a process of another job could be looked up there, and SLURM
        would never be asked. It is given time to answer on a busy machine, since without its answer they
        count as gone.
        """
        folder = self.folder / "spread"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SPREAD)
        self.variables["PYTHONPATH"] = f"{folder}:{self.environment()['PYTHONPATH']}"

    def command(self, *arguments, snakefile=None, profile="profiles/slurm"):
        command = super().command(*arguments, snakefile=snakefile, profile=profile)
        if profile == "profiles/slurm":
            # What the profile says, but for the patience that a real cluster asks for.
            command += ["--slurm-init-seconds-before-status-checks", "2"]
            command += [] if "--retries" in arguments else ["--retries", "0"]
        return command

    def start(self, *arguments, **how):
        process = super().start(*arguments, **how)
        self.processes.append(process)
        return process

    def reader(self, engine, **settings):
        """A reader's section whose jobs want little of the cluster."""
        return fake(f"engines:{engine}", mem_mb=100, runtime=30, **settings)

    def calls(self):
        """The lines that engines have noted so far."""
        path = self.folder / "calls.txt"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_calls(self, count):
        wait_until(lambda: len(self.calls()) >= count)

    def log(self, shard):
        """A shard's log; nothing before there is one."""
        path = self.results / "logs" / "infer" / "reader" / f"{shard}.log"
        return path.read_text() if path.exists() else ""

    def status(self, *options):
        """What hopeval status says."""
        return self.hopeval("status", "results/tiny", *options)

    def hopeval(self, *arguments):
        environment = self.environment() | {"PYTHONPATH": str(self.checkout / "workflow")}
        done = self.bed.call(self.python, "-m", "hopeval", *arguments, cwd=self.folder, env=environment)
        return done.stdout

    def end(self):
        """End what the test started and did not wait for."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, 9)
            process.communicate()
        self.bed.cancel()


def run_place(place):
    """The place. All nodes are well and idle before and after."""
    place.bed.idle()
    yield place
    place.end()
    assert not place.bed.active(), "a test left jobs behind"
