"""Which set-ups are measured: splits of cores and GPUs, what fits into memory, and what a cell says of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopeval.config import parse_reader
from hopeval.tuning.cells import Cell, batch_cells, fitting, gpu_cells, sequence_cells, simplest, splits, thread_cells
from hopeval.tuning.machine import Cores, Memory

MB = 1_000_000


def cores(physical, logical=None):
    return Cores(logical or physical, physical, tuple(range(logical or physical)))


@pytest.mark.parametrize(
    ("total", "ways"),
    [
        (1, [(1, 1)]),
        (2, [(1, 2), (2, 1)]),
        (6, [(1, 6), (2, 3), (3, 2), (6, 1)]),
        (12, [(1, 12), (2, 6), (3, 4), (4, 3), (6, 2), (12, 1)]),
        (13, [(1, 13), (2, 6), (3, 4), (4, 3), (6, 2), (13, 1)]),
    ],
)
def test_splits(total, ways):
    assert splits(total) == ways


@given(st.integers(1, 512))
def test_no_split_takes_more_than_there_is_or_leaves_more_than_a_fifth_idle(total):
    ways = splits(total)
    assert ways[0] == (1, total)
    assert ways[-1] == (total, 1)
    assert all(0.8 * total <= jobs * size <= total for jobs, size in ways)
    assert len({jobs for jobs, _ in ways}) == len(ways)


def test_hardware_threads_are_tried_beside_physical_cores():
    assert [str(cell) for cell in thread_cells(cores(2, 4))] == [
        *("1 × 2 threads", "2 × 1 thread"),
        *("1 × 4 threads", "2 × 2 threads", "4 × 1 thread"),
    ]
    assert thread_cells(cores(4, 4)) == [Cell(shards=n, threads=4 // n) for n in (1, 2, 4)]


def test_what_does_not_fit_is_left_out_with_the_reason():
    cells = [Cell(shards=n, threads=16 // n) for n in (1, 2, 4, 8, 16)]
    fit, left_out = fitting(cells, Memory(private=500 * MB, shared=1000 * MB), 4000 * MB)
    assert [cell.jobs for cell in fit] == [1, 2, 4]
    assert [cell.jobs for cell in left_out] == [8, 16]
    reason = left_out[cells[3]]
    assert "needs about 5,000 MB (1,000 MB shared, 500 MB for each of 8 jobs)" in reason
    assert "4,000 MB are free" in reason


def test_a_model_that_is_mapped_from_disk_counts_once():
    memory = Memory(private=10, shared=1000)
    assert [memory.of_jobs(jobs) for jobs in (1, 4)] == [1010, 1040]


@pytest.mark.parametrize(
    ("devices", "ways"),
    [(1, [(1, 1)]), (2, [(1, 2), (2, 1)]), (8, [(1, 8), (2, 4), (4, 2), (8, 1)])],
)
def test_gpus_are_shared_out_among_jobs(devices, ways):
    fit, left_out = gpu_cells(devices)
    assert [(cell.jobs, cell.gpus) for cell in fit] == ways
    assert all(cell.tensor_parallel == cell.gpus for cell in fit)
    assert not left_out


def test_attention_heads_that_gpus_cannot_share_evenly():
    fit, left_out = gpu_cells(6, heads=14)
    assert [cell.gpus for cell in fit] == [2, 1]
    assert list(left_out.values()) == [f"14 attention heads cannot be split over {n} GPUs" for n in (6, 3)]


def test_pipelines_take_groups_of_gpus():
    fit, _ = gpu_cells(8, pipeline=2)
    assert [(cell.jobs, cell.gpus, cell.tensor_parallel) for cell in fit] == [(1, 8, 4), (2, 4, 2), (4, 2, 1)]
    assert all(cell.jobs * cell.gpus == 8 for cell in fit)


def test_batches_stay_within_the_window():
    best = Cell(shards=2, threads=1)
    assert {dict(cell.options)["n_batch"] for cell in batch_cells(best, 4096)} == {512, 2048}
    assert {dict(cell.options)["n_batch"] for cell in batch_cells(best, 1024)} == {512}
    assert all((cell.shards, cell.threads) == (2, 1) for cell in batch_cells(best, 4096))


def test_the_readers_own_batch_is_not_tried_again_but_llamacpps_default_is():
    pairs = [dict(cell.options) for cell in batch_cells(Cell(shards=1), 4096, {"n_batch": 512})]
    assert {"n_batch": 2048, "n_ubatch": 512} in pairs
    assert {"n_batch": 512, "n_ubatch": 512} not in pairs
    assert {"n_batch": 2048, "n_ubatch": 512} not in [dict(cell.options) for cell in batch_cells(Cell(), 4096)]


def test_sequences():
    assert [dict(cell.options)["max_num_seqs"] for cell in sequence_cells(Cell(gpus=1), 128)] == [32, 64, 128]
    assert len(sequence_cells(Cell(gpus=1))) == 6


SECTIONS = {
    "llamacpp": {"engine": "llamacpp", "model": "m.gguf", "options": {"n_gpu_layers": 0}},
    "vllm": {"engine": "vllm", "model": "m", "gpus": 1},
    "openai": {"engine": "openai", "base_url": "http://localhost/v1", "model": "m"},
}


@pytest.mark.parametrize(
    ("engine", "cell"),
    [
        ("llamacpp", Cell(shards=2, threads=4)),
        ("llamacpp", batch_cells(Cell(shards=2, threads=4), 4096)[0]),
        ("vllm", gpu_cells(4)[0][1]),
        ("vllm", sequence_cells(gpu_cells(4)[0][1])[0]),
        ("openai", Cell(shards=1, concurrency=16)),
    ],
    ids=str,
)
def test_a_set_up_changes_no_answer(engine, cell):
    """Neither how the work is split nor how it is fed is part of a request's key."""
    before, after = parse_reader(SECTIONS[engine]), parse_reader(cell.laid_upon(SECTIONS[engine]))
    assert after != before
    assert after.identity == before.identity


def test_the_simplest_of_equals():
    plain, split, batch = Cell(shards=1, threads=4), Cell(shards=4, threads=1), batch_cells(Cell(shards=1), 4096)[0]
    assert simplest([batch, split, plain]) == plain
    assert simplest([Cell(concurrency=8), Cell(concurrency=4)]) == Cell(concurrency=4)
