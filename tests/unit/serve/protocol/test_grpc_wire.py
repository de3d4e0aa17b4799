"""The raw split agrees with protobuf's own reading, or leaves the message to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from serve.protocol.grpc_wire import split_raw_inputs, varint

Request = service_pb2.ModelInferRequest


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (2**31, b"\x80" * 4 + b"\x08"),
    ],
)
def test_varint_is_protobufs(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded


def test_split_gives_the_rest_and_views_of_the_raw_contents() -> None:
    message = Request(model_name="m", raw_input_contents=[b"a" * 300, b"", b"c"], id="7")
    data = message.SerializeToString()
    split = split_raw_inputs(data, 100)
    assert split is not None
    rest, raw = split
    assert [bytes(view) for view in raw] == [b"a" * 300, b"", b"c"]
    assert all(view.obj is data for view in raw)
    assert Request.FromString(rest) == Request(model_name="m", id="7")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(Request(model_name="m").SerializeToString(), id="no raw contents"),
        pytest.param(b"\x3a\x05abc", id="length beyond the end"),
        pytest.param(b"\x3a", id="no length"),
        pytest.param(b"\x3a" + b"\xff" * 9 + b"\x01", id="length of ten bytes"),
        pytest.param(b"\x3a\x01a\x42\x01b", id="unknown field"),
        pytest.param(b"\x3a\x01a\x08\x01", id="field of another wire type"),
        pytest.param(b"\x3a\x01a" * 11, id="too many fields"),
    ],
)
def test_split_leaves_to_protobuf_what_is_not_ordinary(data: bytes) -> None:
    assert split_raw_inputs(data, 10) is None


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 7, 8]), st.binary(max_size=200)), max_size=8))
def test_split_and_protobuf_see_the_same_fields(fields: list[tuple[int, bytes]]) -> None:
    data = b"".join(bytes((n << 3 | 2,)) + varint(len(value)) + value for n, value in fields)
    split = split_raw_inputs(data, 100)
    if split is not None:
        rest, raw = split
        assert [bytes(view) for view in raw] == [value for n, value in fields if n == 7]
        assert rest == b"".join(
            bytes((n << 3 | 2,)) + varint(len(value)) + value for n, value in fields if n != 7
        )


@given(st.binary(max_size=200))
def test_split_never_raises(data: bytes) -> None:
    split_raw_inputs(data, 100)
