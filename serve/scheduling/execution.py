"""What the batcher asks of whoever runs its batches: in process, or on other machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from serve.errors import PenstockError
from serve.tensors import Array, Batch

__all__ = ["Executor", "Outcome"]


class Outcome(msgspec.Struct, eq=False, gc=False):
    """How a batch ended: checked outputs in the signature's order, or an error; and its cost.

    ``lost``: so often whoever ran it was lost, and one of its requests may be why. They are to be
    submitted one by one, with that in ``Batch.lost``; the error is for those that cannot be.
    """

    outputs: list[Array] | None
    error: PenstockError | None
    execute_ns: int
    lost: int = 0


class Executor(Protocol):
    """Runs batches of one model version, ``slots`` at a time."""

    slots: int
    """Batches that run at the same time. It may change, and be 0 while there is nobody to run any:
    the batches under way may then be more."""
    prefetch: int
    """Further batches that it takes while all slots are busy, so that the next one is ready."""
    eager: bool
    """Whether those need not be full: it takes a batch as long to reach a slot as to run there."""
    elsewhere: bool
    """Whether batches run in other processes. Then it notices itself that one hangs, and what is
    done for a batch that has ended should not hold up the next."""

    def attach(self, room: Callable[[], None]) -> None:
        """Call ``room``, on the event loop, whenever it can take more though no batch has ended."""

    def starved(self) -> None:
        """Something waits to be run, and ``slots`` is 0; said again at every attempt."""

    def submit(self, batch: Batch, quick_ns: int, done: Callable[[Outcome], None]) -> None:
        """Run a batch and call ``done`` exactly once, on the event loop.

        Never blocks for long; ``done`` may be called before it returns, where a batch is so
        cheap (``quick_ns``) that handing it to a thread would cost more than running it.
        """

    def withdraw(self, done: Callable[[Outcome], None]) -> None:
        """Nobody waits any longer for the batch that was submitted with this ``done``.

        It need not be run, or not again; ``done`` is called all the same, perhaps at once.
        """

    def close(self) -> None:
        """Stop. Nothing is under way, or it has been given up."""
