"""What is appended is there for good: for other processes, after kill -9, and beside damaged lines."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from hopeval.errors import HopevalError, InputError
from hopeval.journal import Damage, Journal
from hopeval.records import Response

WRITER = """
import itertools, sys, time
from hopeval.journal import Journal
from hopeval.records import Response
folder, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Journal(folder, "1-of-1") as journal:
    for number in itertools.count() if count < 0 else range(count):
        journal.append(Response(key=f"{name}{number:063d}", text="A" * 5000))
        print(number, flush=True)
"""


def key(number: int, name: str = "a") -> str:
    return f"{name}{number:063d}"


def write_lines(path: Path, *lines: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))


def line(response: Response) -> bytes:
    return msgspec.json.encode(response) + b"\n"


def writer(environment, folder: Path, name: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "journal"


@pytest.fixture
def journal(folder):
    with Journal(folder, "1-of-2") as journal:
        yield journal


def test_what_is_appended_is_answered_at_once(journal, folder):
    response = Response(key=key(1), text='é "quoted"\n', finish_reason="stop", prompt_tokens=3, devices=["0"], at="now")
    journal.append(response)
    assert Journal(folder, "2-of-2").answered([key(1), key(2)]) == ({key(1): response}, [])


def test_absent_folder_answers_nothing_and_reading_makes_none(journal, folder):
    assert journal.answered([key(1)]) == ({}, [])
    journal.close()
    assert not folder.exists()


def test_closing_twice_is_closing_once_and_appending_needs_no_with(folder):
    journal = Journal(folder, "1-of-1")
    journal.append(Response(key=key(1)))
    journal.close()
    journal.close()
    assert journal.path.read_bytes() == line(Response(key=key(1)))


def test_answers_come_from_all_files_and_only_those_asked_for(folder):
    for shard in ("1-of-2", "2-of-2", "1-of-3"):
        with Journal(folder, shard) as journal:
            for number in range(3):
                journal.append(Response(key=key(number, shard[0]), text=shard))
    assert len(list(folder.iterdir())) == 3
    answered, damaged = journal.answered([key(0, "1"), key(2, "2"), key(9)])
    assert {key: response.text for key, response in answered.items()} == {key(0, "1"): "1-of-2", key(2, "2"): "2-of-2"}
    assert damaged == []


def test_failed_response_is_no_answer_and_gives_way_to_one(journal):
    journal.append(Response(key=key(1), error="broken"))
    journal.append(Response(key=key(2), error=""))
    assert journal.answered([key(1), key(2)]) == ({}, [])
    journal.append(Response(key=key(1), text="x"))
    answered, _ = journal.answered([key(1), key(2)])
    assert answered == {key(1): Response(key=key(1), text="x")}


def test_torn_and_corrupt_lines_are_reported_with_file_and_line_and_cost_only_themselves(folder):
    good = [line(Response(key=key(number), text="x" * 50)) for number in range(6)]
    write_lines(folder / "a.jsonl", good[0], b'{"key":"' + b"\0" * 80 + b"}\n", good[1], good[2][:90])
    write_lines(folder / "b.jsonl", good[3], b'{"key":1}\n', b"\xff\xfe\n", b"\n", good[4])
    answered, damaged = Journal(folder, "s").answered([key(number) for number in range(6)])
    assert set(answered) == {key(number) for number in (0, 1, 3, 4)}
    # The NULs stand where a key would, and none that is asked for: passed over like any foreign key.
    a, b = folder / "a.jsonl", folder / "b.jsonl"
    assert damaged == [Damage(a, 4), Damage(b, 2), Damage(b, 3), Damage(b, 4)]


def test_whole_line_without_its_line_end_still_counts(folder):
    write_lines(folder / "a.jsonl", line(Response(key=key(1)))[:-1])
    assert Journal(folder, "s").answered([key(1)]) == ({key(1): Response(key=key(1))}, [])


def test_foreign_keys_are_passed_over_without_being_decoded(folder):
    undecodable = b'{"key":"' + key(7).encode() + b'","text":nonsense}\n'
    write_lines(folder / "a.jsonl", undecodable, line(Response(key=key(1))))
    journal = Journal(folder, "s")
    assert journal.answered([key(1)]) == ({key(1): Response(key=key(1))}, [])
    assert journal.answered([key(1), key(7)])[1] == [Damage(folder / "a.jsonl", 1)]


def test_line_written_by_another_hand_is_read_as_well(folder):
    write_lines(folder / "a.jsonl", b'{ "text": "x", "more": [1], "key": "' + key(1).encode() + b'" }\n')
    assert Journal(folder, "s").answered([key(1)])[0] == {key(1): Response(key=key(1), text="x")}


def test_of_several_answers_all_readers_take_the_same(folder):
    for name in ("c", "a", "b"):
        write_lines(folder / f"{name}.jsonl", *(line(Response(key=key(1), text=f"{name}{n}")) for n in range(2)))
    readers = [Journal(folder, shard) for shard in ("1-of-2", "2-of-2")]
    assert [reader.answered([key(1)])[0][key(1)].text for reader in readers] == ["a0", "a0"]


def test_files_of_the_same_shard_and_process_never_collide(folder):
    journals = [Journal(folder, "1-of-1") for _ in range(3)]
    for journal in journals:
        journal.append(Response(key=key(1)))
        journal.close()
    assert len(list(folder.iterdir())) == 3


def test_processes_that_append_at_the_same_time_lose_nothing(folder, environment):
    names = "abcd"
    writers = [writer(environment, folder, name, 200) for name in names]
    assert [process.communicate(timeout=60) and process.returncode for process in writers] == [0] * len(names)
    keys = [key(number, name) for name in names for number in range(200)]
    answered, damaged = Journal(folder, "s").answered(keys)
    assert (sorted(answered), damaged) == (sorted(keys), [])
    assert {len(response.text) for response in answered.values()} == {5000}


@pytest.mark.parametrize("told", [1, 40])
def test_kill_9_costs_no_answer_that_was_appended(folder, environment, told):
    process = writer(environment, folder, "a", -1)
    for _ in range(told):
        assert process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    appended = told + len(process.communicate(timeout=60)[0].splitlines())
    assert process.returncode == -signal.SIGKILL
    answered, damaged = Journal(folder, "s").answered([key(number) for number in range(appended + 1)])
    assert set(answered) >= {key(number) for number in range(appended)}
    assert len(damaged) <= 1


def test_a_disk_that_takes_part_of_a_line_gets_the_rest(journal, monkeypatch):
    journal.append(Response(key=key(0)))
    real = journal._file

    class Reluctant:
        def write(self, data):
            return real.write(bytes(data[:7]))

    monkeypatch.setattr(journal, "_file", Reluctant())
    monkeypatch.setattr(journal, "_synced", time.monotonic())
    journal.append(Response(key=key(1), text="x" * 100))
    monkeypatch.setattr(journal, "_file", real)
    answered, damaged = journal.answered([key(0), key(1)])
    assert (len(answered), damaged) == (2, [])


def test_full_disk_is_told_with_the_file_and_what_to_do(journal, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full, monkeypatch.context() as patch:
        patch.setattr(journal, "_file", full)
        with pytest.raises(
            HopevalError, match=r"journal/1-of-2\.\S+: answers cannot be kept: No space left.*run the same"
        ):
            journal.append(Response(key=key(1)))


def test_folder_that_cannot_be_made_or_read_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HopevalError, match=r"file/\S+: answers cannot be kept: .*; make room or mend the folder"):
        Journal(tmp_path / "file", "s").append(Response(key=key(1)))
    (tmp_path / "odd.jsonl").mkdir()
    with pytest.raises(InputError, match=r"odd\.jsonl: cannot be read: Is a directory"):
        Journal(tmp_path, "s").answered([key(1)])
