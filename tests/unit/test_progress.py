"""A live line on a terminal, plain lines in the log, and sums that add up."""

import io
import os
import pty
import re
import subprocess
import sys
import termios

import pytest

from hopeval import progress as module
from hopeval.progress import Progress, Tally
from hopeval.records import Response

JOB = """
import os, sys
from pathlib import Path
from hopeval.progress import Progress, redirect_output
from hopeval.records import Response
terminal = redirect_output(Path(sys.argv[1]))
os.write(1, b"native words\\n")
progress = Progress("2-of-4", 5, 2, terminal)
for number in range(3):
    progress.add(Response(key="k", prompt_tokens=100, cached_tokens=50, completion_tokens=4))
    if number == 1 and len(sys.argv) > 2:
        input()
print("words", flush=True)
print("warning", file=sys.stderr, flush=True)
progress.close()
"""


def response(**fields):
    return Response(key="k", **fields)


def test_tally_adds_up():
    tally = Tally()
    assert (tally.done, tally.cached_share) == (0, 0.0)
    tally.add(response(prompt_tokens=100, completion_tokens=7, cached_tokens=40, latency_s=0.5, finish_reason="stop"))
    tally.add(response(prompt_tokens=60, completion_tokens=9, cached_tokens=0, latency_s=1.5, finish_reason="length"))
    tally.add(response(error="gone", prompt_tokens=999, completion_tokens=999, latency_s=99, finish_reason="length"))
    assert tally == Tally(2, 1, 1, 160, 16, 40, 2.0)
    assert (tally.done, tally.cached_share) == (3, 0.25)


class Clock:
    """A clock that a test turns by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_summary_counts_from_the_start_of_the_engine(clock, capsys):
    progress = Progress("1-of-1", 9, 4, None)
    clock.now += 500
    progress.start()
    clock.now += 2
    progress.add(response(prompt_tokens=300, completion_tokens=30, cached_tokens=75, latency_s=1.0))
    progress.add(response(prompt_tokens=100, completion_tokens=10, finish_reason="length", latency_s=2.0))
    progress.add(response(error="gone"))
    progress.close()
    assert capsys.readouterr().out == (
        "shard 1-of-1: 2 answered, 4 from the journal, 1 failed, 1 truncated, 2.0 s, mean latency 1.50 s, "
        "20.0 generated tokens/s, 200.0 prompt tokens/s, 19% of prompt tokens cached\n"
    )


def test_log_gets_a_line_every_ten_seconds_not_for_each_response(clock, capsys):
    progress = Progress("1-of-1", 100, 10, None)
    for _ in range(30):
        clock.now += 1
        progress.add(response(completion_tokens=5, prompt_tokens=8, cached_tokens=2))
    assert capsys.readouterr().out.splitlines() == [
        "21/100, 5 tokens/s, 25% of prompts cached, 0 failed, about 79 s left",
        "32/100, 5 tokens/s, 25% of prompts cached, 0 failed, about 68 s left",
    ]


def test_summary_of_nothing_divides_by_nothing(clock, capsys):
    Progress("1-of-1", 0, 0, None).close()
    assert "0 answered, 0 from the journal, 0 failed" in capsys.readouterr().out


@pytest.mark.parametrize("shard", ["1-of-2", "40-of-64", "0", "12of", "all", "²", ""])
def test_any_name_of_a_shard_gets_a_line(shard):
    terminal = io.StringIO()
    progress = Progress(shard, 3, 0, terminal)
    progress.add(response())
    progress.close()
    assert f"shard {shard}:" in terminal.getvalue()


def on_terminal(environment, log, leave=False):
    """What a job whose stderr is a terminal shows there, and its exit code; ``leave`` closes the terminal midway."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [sys.executable, "-c", JOB, str(log), *(["wait"] if leave else [])]
    job = subprocess.Popen(
        command, env=environment(TERM="xterm"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while (piece := os.read(ours, 4096)) and not (leave and b"2/5" in shown + piece):
            shown += piece
    except OSError:  # how a terminal says that the other side is closed
        pass
    os.close(ours)
    out, _ = job.communicate(b"\n", timeout=60)
    return shown.decode(), out, job.returncode


def test_on_a_terminal_the_line_lives_there_and_not_in_the_log(environment, tmp_path):
    log = tmp_path / "deep" / "log"
    shown, out, code = on_terminal(environment, log)
    assert (out, code) == (b"", 0)
    assert "shard 2-of-4" in shown
    assert "2/5" in shown
    assert "\r" in shown
    assert "words" not in shown
    assert "answered" not in shown
    lines = log.read_text().splitlines()
    assert lines[:3] == ["native words", "words", "warning"]
    assert lines[3].startswith("shard 2-of-4: 3 answered, 2 from the journal")
    assert len(lines) == 4
    assert not re.search(r"[\r\x1b█]|it/s|request/s", log.read_text())


def test_terminal_that_goes_away_costs_nothing_but_the_line(environment, tmp_path):
    _, _, code = on_terminal(environment, tmp_path / "log", leave=True)
    log = (tmp_path / "log").read_text()
    assert (code, "Traceback" in log) == (0, False)
    assert "3 answered" in log


def test_without_a_terminal_there_are_plain_lines_only(environment, tmp_path):
    log = tmp_path / "log"
    log.write_text("from an earlier attempt\n" * 100)
    job = subprocess.run([sys.executable, "-c", JOB, str(log)], env=environment(), capture_output=True, timeout=60)
    assert (job.returncode, job.stdout, job.stderr) == (0, b"", b"")
    assert re.fullmatch(r"native words\nwords\nwarning\nshard 2-of-4: 3 answered, .* cached\n", log.read_text())


def test_infer_without_terminal_or_log_prints_the_summary_alone(inference, make_request):
    settings = inference.settings("CountingEngine")
    result = inference.run([make_request("q1")], settings)
    assert result.err == ""
    assert re.fullmatch(r"engines:CountingEngine ready .*\nshard 1-of-1: 1 answered, .* cached\n", result.out)
