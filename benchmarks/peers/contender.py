"""A row's server: started with all its processes under one keeper, its answers checked."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import psutil

from benchmarks.answers import WrongAnswerError, ask
from benchmarks.context import penstock_command
from benchmarks.peers.catalogue import PENSTOCK, Row
from benchmarks.peers.models import ROOT, PeerModel
from benchmarks.process import Server, StartError, free_port

__all__ = ["TOLERANCE", "check_answers", "memory_mib", "running"]

START_S = 120.0
POLL_S = 0.05
TOLERANCE = 1e-4
"""Relative difference from ONNX Runtime's own answer that passes as rounding of JSON and FP32."""


@contextlib.contextmanager
def running(row: Row, model: PeerModel, scratch: Path) -> Iterator[Server]:
    """The row's server, answering; stopped at the end with everything it started.

    ``scratch`` is an empty folder of a short path.

    Raises:
        StartError: it ended at start or did not answer in time.
        WrongAnswerError: it answers something else than ONNX Runtime does.
    """
    port = free_port()
    keeper = (sys.executable, "-m", "benchmarks.peers.keeper")
    log = scratch.with_suffix(".log")
    server = Server(row.name, [*keeper, *_command(row, model, port, scratch)], port, log)
    try:
        server.wait_ready(START_S, path=None)
        _wait_answer(server, row, model)
        check_answers(server, row, model)
        yield server
    finally:
        server.stop()


def _command(row: Row, model: PeerModel, port: int, scratch: Path) -> list[str]:
    if row.peer == PENSTOCK:
        return [
            *(penstock_command(), "serve", str(model.repository), "--http-port", str(port)),
            *("--grpc-port", str(free_port()), "--admin-port", str(free_port())),
            *(["--ray"] if row.row == "ray" else []),
        ]
    script = ROOT / "benchmarks" / "peers" / row.peer / "run.sh"
    return [str(script), row.row, model.name, str(model.path), str(port), str(scratch)]


def _wait_answer(server: Server, row: Row, model: PeerModel) -> None:
    """Some listen long before they can answer: Ray's proxy, for one."""
    payload = row.route.payload(model, model.records[0])
    end_s = time.monotonic() + START_S
    while True:
        try:
            ask(server, payload)
        except (OSError, WrongAnswerError) as error:
            if time.monotonic() > end_s:
                raise StartError(f"no answer within {START_S:.0f} s: {error}") from error
            time.sleep(POLL_S)
        else:
            return


def check_answers(server: Server, row: Row, model: PeerModel) -> None:
    """Ask about every record, one after the other and then all at once, as batches are made.

    Raises:
        WrongAnswerError: an answer is not ONNX Runtime's, or has no probability.
    """
    payloads = [row.route.payload(model, record) for record in model.records]
    one_by_one = [ask(server, payload) for payload in payloads]
    with ThreadPoolExecutor(len(payloads)) as pool:
        at_once = list(pool.map(lambda payload: ask(server, payload), payloads))
    for answers in (one_by_one, at_once):
        for body, expected in zip(answers, model.expected, strict=True):
            _compare(row, body, expected)


def _compare(row: Row, body: bytes, expected: float) -> None:
    try:
        probability = float(row.route.probability(orjson.loads(body)))
    except (LookupError, TypeError, ValueError, StopIteration) as error:
        raise WrongAnswerError(f"{row.name}: no probability in {body[:200]!r}") from error
    if not math.isclose(probability, expected, rel_tol=TOLERANCE, abs_tol=1e-6):
        raise WrongAnswerError(f"{row.name} answered {probability}, ONNX Runtime {expected}")


def memory_mib(server: Server) -> float:
    """Proportional set size of the server's processes: what they share counts once."""
    keeper = psutil.Process(server.pid)
    total = 0
    for process in keeper.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a short-lived helper
            total += process.memory_full_info().pss
    return total / 2**20
