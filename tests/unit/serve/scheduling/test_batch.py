from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from serve.scheduling.batch import join, runs
from serve.scheduling.entry import Entry
from serve.tensors import Array
from tests.support.entries import OwnRows, make_entry


@pytest.mark.parametrize(
    "dtype", [np.float32, np.int64, np.bool_, np.float16, ml_dtypes.bfloat16, object]
)
async def test_join_puts_rows_in_order(dtype: type) -> None:
    entries = [make_entry(rows=rows) for rows in (1, 3, 2)]
    for value, entry in enumerate(entries):
        entry.inputs = (np.full((entry.rows, 4), value).astype(dtype),)
    batch = join(entries, 6)
    assert batch.inputs[0].dtype == np.dtype(dtype)
    expected = np.repeat([0, 1, 2], [1, 3, 2]).astype(dtype)
    assert (batch.inputs[0][:, 0] == expected).all()


@pytest.mark.parametrize("width", [8, 4096])
async def test_join_handles_arrays_that_are_not_contiguous(width: int) -> None:
    entries = [make_entry(rows=2), make_entry(rows=2)]
    whole: Array = np.arange(4 * width, dtype=np.float32).reshape(width, 4).T
    entries[0].inputs, entries[1].inputs = (whole[:2],), (whole[2:],)
    assert (join(entries, 4).inputs[0] == whole).all()


async def test_join_uses_a_single_entry_as_it_is() -> None:
    entry = make_entry(rows=2)
    assert join([entry], 2).inputs[0] is entry.inputs[0]


async def test_join_carries_parameters_by_rows_only_when_there_are_any() -> None:
    plain, special = make_entry(rows=2), make_entry(rows=1, parameters={"top": 3})
    assert join([plain], 2).parameters == ()
    assert join([plain, special], 3).parameters == ((2, {}), (1, {"top": 3}))


async def test_runs_give_neighbours_of_one_answerer_their_own_rows() -> None:
    other = OwnRows()
    entries = [
        make_entry(rows=1),
        make_entry(rows=2),
        make_entry(rows=1, answerer=other),
        make_entry(rows=1),
    ]
    parts = list(runs(entries, [np.arange(5), np.arange(10).reshape(5, 2)]))
    assert [len(run) for run, _ in parts] == [2, 1, 1]
    assert [part[0].tolist() for _, part in parts] == [[0, 1, 2], [3], [4]]
    assert parts[1][1][1].tolist() == [[6, 7]]


async def test_runs_leave_the_outputs_of_one_answerer_as_they_are() -> None:
    outputs: list[Array] = [np.arange(3)]
    ((run, part),) = runs([make_entry(rows=2), make_entry()], outputs)
    assert len(run) == 2
    assert part is outputs


def block_of(*rows: int) -> list[Entry]:
    """Entries whose rows lie one behind the other in one array: 0, 1, 2, …"""
    shared: tuple[Array, ...] = (np.arange(sum(rows), dtype=np.float32).reshape(-1, 1),)
    entries, start = [], 0
    for count in rows:
        entries.append(make_entry(rows=count, inputs=shared, start=start))
        start += count
    return entries


async def test_join_does_not_copy_rows_that_lie_together() -> None:
    entries = block_of(1, 2, 1)
    batch = join(entries[1:], 3)
    assert batch.inputs[0].tolist() == [[1], [2], [3]]
    assert batch.inputs[0].base is not None
    assert np.shares_memory(batch.inputs[0], entries[0].inputs[0])


@pytest.mark.parametrize("kept", [[0, 2], [0], [2]])
async def test_join_leaves_out_neighbours_in_shared_arrays(kept: list[int]) -> None:
    shared = block_of(1, 1, 1)
    entries = [shared[index] for index in kept]
    assert join(entries, len(kept)).inputs[0].ravel().tolist() == kept


async def test_join_mixes_blocks_and_single_entries() -> None:
    entries = [*block_of(1, 1), make_entry(7), *block_of(1, 2)[1:]]
    assert join(entries, 5).inputs[0].ravel().tolist() == [0, 1, 7, 1, 2]
