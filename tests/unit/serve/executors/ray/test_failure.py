"""What people are told of Serve's messages."""

from __future__ import annotations

import pytest

from serve.executors.ray.failure import LONGEST, ReplicaNotStartedError, last_line, reason_in


def test_reason_of_a_replica_is_found_in_what_serve_makes_of_it() -> None:
    error = ReplicaNotStartedError('model.onnx: is "no" model\nat all')
    assert reason_in(f"Traceback ...\n  RuntimeError: {error} in replica x") == (
        'model.onnx: is "no" model\nat all'
    )
    assert reason_in("the worker died") == ""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", ""),
        ("failed 3 times in a row.\n\n  ImportError: no module\n", "ImportError: no module"),
        ("x" * 2 * LONGEST, "x" * LONGEST),
    ],
)
def test_last_line_is_what_matters(message: str, expected: str) -> None:
    assert last_line(message) == expected


@pytest.mark.parametrize("name", ["ActorDiedError()", "ray.exceptions.ActorDiedError(...)"])
def test_process_that_ended_says_nothing_and_so_we_do(name: str) -> None:
    assert last_line(f"failed 12 times in a row. Error:\n{name}").startswith("its process ended")
