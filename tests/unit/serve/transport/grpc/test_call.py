"""What is read from a call's context."""

from __future__ import annotations

from typing import Any

import pytest

from serve.clock import NS_PER_S
from serve.errors import DeadlineExceeded
from serve.tensors import InferRequest
from serve.transport.grpc.call import read_caller


class Context:
    def __init__(self, remaining_s: float | None, *metadata: tuple[str, str]) -> None:
        self.remaining_s = remaining_s
        self.metadata = metadata

    def time_remaining(self) -> float | None:
        return self.remaining_s

    def invocation_metadata(self) -> Any:
        return self.metadata or None


@pytest.mark.parametrize(
    ("remaining_s", "deadline_ns"),
    [(None, 0), (2.5, 1000 + 5 * NS_PER_S // 2), (0.0, 1000), (-9.0, 1)],
)
def test_deadline_is_by_the_servers_clock(remaining_s: float | None, deadline_ns: int) -> None:
    assert read_caller(Context(remaining_s), 1000).deadline_ns == deadline_ns


def test_metadata_is_picked_out() -> None:
    caller = read_caller(Context(None, ("a", "b"), ("traceparent", "t")), 1000)
    assert (caller.traceparent, caller.wants_status) == ("t", False)
    assert read_caller(Context(None, ("triton_grpc_error", "true")), 1000).wants_status


def test_stamp_refuses_a_request_that_is_late_already() -> None:
    with pytest.raises(DeadlineExceeded):
        read_caller(Context(0.0), 1000).stamp(InferRequest("m", "", []), 1000)


def test_stamp_writes_into_the_request() -> None:
    request = InferRequest("m", "", [])
    read_caller(Context(1.0, ("traceparent", "t")), 1000).stamp(request, 2000)
    assert (request.received_ns, request.deadline_ns) == (2000, 1000 + NS_PER_S)
    assert request.traceparent == "t"


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"x-user", b"ann"), (b"x-key-bin", b"\xff\0"), (b"other", None), (b"\xff", None)],
)
def test_metadata_goes_with_the_request(name: bytes, value: bytes | None) -> None:
    request = InferRequest("m", "", [])
    metadata: Any = (("x-user", "ann"), ("x-user", "bob"), ("x-key-bin", b"\xff\0"))
    read_caller(Context(None, *metadata), 1000).stamp(request, 2000)
    assert request.headers is not None
    assert request.headers.get(name) == value
