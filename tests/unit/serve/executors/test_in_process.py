from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from serve.clock import monotonic_ns
from serve.errors import BackendError
from serve.executors.in_process import InProcessExecutor
from serve.scheduling.execution import Outcome
from serve.tensors import Array, Batch, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 1)),), (TensorSpec("y", "FP32", (-1, 1)),), batched=True
)
BATCH = Batch((np.ones((2, 1), np.float32),), 2)


class Doubler:
    """Doubles, in the thread it notes; fails or cuts rows when told to."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.error: Exception | None = None
        self.lost_rows = 0
        self.closed = threading.Event()

    def run(self, batch: Batch) -> list[Array]:
        self.threads.append(threading.current_thread().name)
        if self.error:
            raise self.error
        return [batch.inputs[0][self.lost_rows :] * 2]

    def close(self) -> None:
        self.closed.set()


def executor(backend: Doubler, inline: bool = False) -> InProcessExecutor:
    return InProcessExecutor(
        backend,  # type: ignore[arg-type]
        SIGNATURE,
        name="m",
        instances=1,
        inline=inline,
        clock=monotonic_ns,
        loop=asyncio.get_running_loop(),
    )


async def run(subject: InProcessExecutor, expected_ns: int = 10**9) -> Outcome:
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    subject.submit(BATCH, expected_ns, future.set_result)
    outcome = await future
    subject.close()
    return outcome


async def test_submit_runs_in_a_thread() -> None:
    backend = Doubler()
    outcome = await run(executor(backend))
    assert outcome.outputs is not None and outcome.outputs[0].tolist() == [[2], [2]]
    assert backend.threads == ["penstock-m-0"]


async def test_submit_runs_inline_when_the_batch_is_cheap() -> None:
    backend = Doubler()
    await run(executor(backend, inline=True), expected_ns=1000)
    assert backend.threads == [threading.current_thread().name]


async def test_submit_never_runs_inline_when_the_backend_may_block() -> None:
    backend = Doubler()
    await run(executor(backend, inline=False), expected_ns=1000)
    assert backend.threads == ["penstock-m-0"]


async def test_outcome_is_an_error_when_the_backend_raises() -> None:
    backend = Doubler()
    backend.error = ZeroDivisionError("by zero")
    outcome = await run(executor(backend))
    assert isinstance(outcome.error, BackendError)
    assert "ZeroDivisionError: by zero" in str(outcome.error)


async def test_outcome_is_an_error_when_rows_are_lost() -> None:
    backend = Doubler()
    backend.lost_rows = 1
    outcome = await run(executor(backend))
    assert isinstance(outcome.error, BackendError)


@pytest.mark.timeout(30)
async def test_close_closes_the_backend_after_its_last_batch() -> None:
    backend = Doubler()
    await run(executor(backend))
    assert await asyncio.to_thread(backend.closed.wait, 20)
