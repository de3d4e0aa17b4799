"""Whether more than one thread makes a model's batches shorter: found out by running some.

Handing a small operator to a second thread costs more than it saves (a tree ensemble's row takes
11 µs with one thread and 28 with two), while a convolution takes half as long. Neither the file's
size nor its node count tells them apart, so a version is timed as it loads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from serve.backends.session_run import SessionRun
from serve.clock import NS_PER_MS, Clock, monotonic_ns
from serve.tensors import Array

__all__ = ["faster_run"]

logger = logging.getLogger("penstock.backend")

# A batch that one thread finishes within this is left to one thread: other batches and the
# network have work for the other cores.
_SHORT_NS = 1 * NS_PER_MS
# One that takes longer than this has large operators: several threads pay, and a trial next to
# busy neighbours could only get it wrong.
_LONG_NS = 10 * NS_PER_MS
# In between, several threads must save a quarter of the time that one takes.
_WORTHWHILE = 0.75
_REPEATS = 3


def faster_run(
    inputs: Sequence[Array],
    single: SessionRun,
    several: Callable[[], SessionRun],
    clock: Clock = monotonic_ns,
) -> SessionRun:
    """``single``, or what ``several`` makes, by how long each takes over ``inputs``."""
    try:
        first_ns = _best_ns(single, inputs, clock, repeats=1)
        if first_ns > _LONG_NS:
            return several()
        single_ns = _best_ns(single, inputs, clock, _REPEATS)
        if single_ns < _SHORT_NS:
            return single
        other = several()
        _best_ns(other, inputs, clock, repeats=1)
        several_ns = _best_ns(other, inputs, clock, _REPEATS)
    except Exception as error:  # noqa: BLE001 - made-up values need not suit every model
        logger.info("no trial of thread counts, because the model refused it: %s", error)
        return several()
    return other if several_ns < single_ns * _WORTHWHILE else single


def _best_ns(run: SessionRun, inputs: Sequence[Array], clock: Clock, repeats: int) -> int:
    best = None
    for _ in range(repeats):
        start_ns = clock()
        run(inputs, None)
        took_ns = clock() - start_ns
        best = took_ns if best is None else min(best, took_ns)
    assert best is not None
    return best
