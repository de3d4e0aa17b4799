"""Runs batches in this process: in worker threads, or inline where a thread would cost more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from serve.backends.base import Backend
from serve.backends.output_check import check_outputs
from serve.clock import Clock
from serve.errors import BackendError, PenstockError
from serve.executors.memory import memory_returned
from serve.executors.worker import Workers
from serve.scheduling.execution import Outcome
from serve.tensors import Batch, Signature

__all__ = ["InProcessExecutor", "run_batch"]

log = logging.getLogger("penstock.executor")

INLINE_NS = 200_000
"""A batch expected to take less runs on the event loop: handing it to a thread and back costs
50 to 100 µs of latency and two context switches, and it delays the sockets by no more than that.
"""


class InProcessExecutor:
    """``instances`` batches at a time, and one more made ready.

    The runtimes release the interpreter's lock while they compute, so one process uses every
    core. ``inline``: whether short batches may run on the loop; never for a model's own Python
    code, which may block on anything.
    """

    eager = False
    elsewhere = False

    def __init__(
        self,
        backend: Backend,
        signature: Signature,
        *,
        name: str,
        instances: int,
        inline: bool,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        released: Callable[[], None] = lambda: None,
    ) -> None:
        """``released`` is called in a thread when the backend is closed, and its memory free."""
        self._released = released
        self.slots = instances
        self.prefetch = 1
        self._backend = backend
        self._signature = signature
        self._name = name
        self._inline_ns = INLINE_NS if inline else 0
        self._clock = clock
        self._loop = loop
        self._workers = Workers(instances, f"penstock-{name}")
        self._in_threads = 0

    def submit(self, batch: Batch, quick_ns: int, done: Callable[[Outcome], None]) -> None:
        """See ``Executor``. Threads keep their batches in order, so nothing overtakes inline."""
        if quick_ns < self._inline_ns and not self._in_threads:
            done(self._run(batch))
            return
        self._in_threads += 1

        def finish(outcome: Outcome) -> None:
            self._in_threads -= 1
            done(outcome)

        def job() -> None:
            outcome = self._run(batch)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(finish, outcome)

        self._workers.submit(job)

    def attach(self, room: Callable[[], None]) -> None:
        """See ``Executor``: its slots are always the same."""

    def starved(self) -> None:
        """See ``Executor``; it always has a slot."""

    def withdraw(self, done: Callable[[Outcome], None]) -> None:
        """See ``Executor``: a batch that was handed over runs to its end."""

    def close(self) -> None:
        """End the threads when they are idle, the backend with the last of them."""
        self._workers.submit(self._close_backend)
        self._workers.close()

    def _run(self, batch: Batch) -> Outcome:
        return run_batch(self._backend, self._signature, batch, self._clock, self._name)

    def _close_backend(self) -> None:
        try:
            with memory_returned():
                self._backend.close()
        except Exception:
            log.warning("model '%s' failed to close", self._name, exc_info=True)
        self._released()


def run_batch(
    backend: Backend, signature: Signature, batch: Batch, clock: Clock, name: str
) -> Outcome:
    """Run one batch and check what comes back; every failure becomes the outcome's error."""
    started_ns = clock()
    try:
        outputs = check_outputs(signature, backend.run(batch), batch.rows)
    except PenstockError as error:
        # Backends say what went wrong; which of the models it was is known here.
        named = BackendError(f"model '{name}' failed: {error}")
        return Outcome(None, named, clock() - started_ns)
    except Exception as error:
        log.warning("model '%s' failed on %d rows", name, batch.rows, exc_info=True)
        problem = BackendError(f"model '{name}' failed: {type(error).__name__}: {str(error)[:500]}")
        return Outcome(None, problem, clock() - started_ns)
    return Outcome(outputs, None, clock() - started_ns)
