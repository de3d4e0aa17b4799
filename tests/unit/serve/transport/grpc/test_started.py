"""What a message of a stream holds, and when it gives it back."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from serve.errors import BackendError
from serve.tensors import InferRequest, InferResponse, Tensor
from serve.transport.grpc.intake import Intake, Lease
from serve.transport.grpc.started import Started

RESPONSE = InferResponse("m", "1", [Tensor("y", "FP32", np.zeros(25, np.float32))])


class Context:
    def add_done_callback(self, callback: Any) -> None:
        pass


@pytest.fixture
async def lease() -> Lease:
    lease = Intake(1, 1000).enter(Context())
    lease.hold_message(40)
    return lease


async def started(lease: Lease) -> Started:
    future: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
    return Started(InferRequest("m", "", []), future, lease, 40)


async def test_answer_is_counted_from_when_it_is_there_until_it_is_sent(lease: Lease) -> None:
    entry = await started(lease)
    entry.future.set_result(RESPONSE)
    await asyncio.sleep(0)
    assert lease.held_bytes == 140
    entry.release()
    assert lease.held_bytes == 0


async def test_answer_sent_before_it_was_counted_is_never_counted(lease: Lease) -> None:
    entry = await started(lease)
    entry.future.set_result(RESPONSE)
    entry.release()
    await asyncio.sleep(0)
    assert lease.held_bytes == 0


async def test_error_holds_the_message_only(lease: Lease) -> None:
    entry = await started(lease)
    entry.future.set_exception(BackendError("no"))
    await asyncio.sleep(0)
    assert lease.held_bytes == 40
    entry.withdraw()
    assert lease.held_bytes == 0


async def test_withdrawn_request_is_cancelled(lease: Lease) -> None:
    entry = await started(lease)
    entry.withdraw()
    assert entry.future.cancelled()
    assert lease.held_bytes == 0
