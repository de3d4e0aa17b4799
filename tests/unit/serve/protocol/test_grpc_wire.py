"""The raw split agrees with protobuf's own reading, or refuses the message."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from serve.protocol.grpc_wire import WireError, split_raw_inputs, texts, varint

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
    rest, raw = split_raw_inputs(data, 100)
    assert [bytes(view) for view in raw] == [b"a" * 300, b"", b"c"]
    assert all(view.obj is data for view in raw)
    assert Request.FromString(rest) == Request(model_name="m", id="7")


@pytest.mark.parametrize(
    ("data", "left"),
    [
        pytest.param(b"", b"", id="empty"),
        pytest.param(b"\x0a\x01m", b"\x0a\x01m", id="no raw contents"),
        pytest.param(b"\x3a\x01a\x42\x01b", b"\x42\x01b", id="unknown field"),
        pytest.param(b"\x38\x05", b"\x38\x05", id="raw contents of another wire type"),
        pytest.param(b"\x3a\x01a\xa5\x06abcd", b"\xa5\x06abcd", id="fixed32 of two-byte tag"),
        pytest.param(b"\x41abcdefgh", b"\x41abcdefgh", id="fixed64"),
    ],
)
def test_split_leaves_every_other_field_as_it_was(data: bytes, left: bytes) -> None:
    assert split_raw_inputs(data, 10)[0] == left


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x3a\x05abc", id="length beyond the end"),
        pytest.param(b"\x3a", id="no length"),
        pytest.param(b"\x3a" + b"\xff" * 9 + b"\x01", id="length beyond 64 bits"),
        pytest.param(b"\x3a" + b"\xff" * 11, id="length without an end"),
        pytest.param(b"\x41abc", id="fixed64 beyond the end"),
        pytest.param(b"\x3b\x3c", id="group"),
        pytest.param(b"\x3a\x01a" * 11, id="too many fields"),
        pytest.param(b"\x2a\x00" * 11, id="too many inputs"),
        pytest.param(b"\x2a\x80\x40" + b"\x22\x00" * 4096, id="too many fields in an input"),
    ],
)
def test_split_refuses_what_is_no_message_or_too_many(data: bytes) -> None:
    with pytest.raises(WireError):
        split_raw_inputs(data, 10)


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 7, 8]), st.binary(max_size=200)), max_size=8))
def test_split_and_protobuf_see_the_same_fields(fields: list[tuple[int, bytes]]) -> None:
    data = b"".join(bytes((n << 3 | 2,)) + varint(len(value)) + value for n, value in fields)
    rest, raw = split_raw_inputs(data, 100)
    assert [bytes(view) for view in raw] == [value for n, value in fields if n == 7]
    assert rest == b"".join(
        bytes((n << 3 | 2,)) + varint(len(value)) + value for n, value in fields if n != 7
    )


@given(st.binary(max_size=200))
def test_split_agrees_with_protobuf_on_what_is_a_message(data: bytes) -> None:
    try:
        expected = list(Request.FromString(data).raw_input_contents)
    except DecodeError:
        return
    try:
        _, raw = split_raw_inputs(data, 100)
    except WireError as error:
        assert "not in use" in str(error)  # groups, which protobuf skips
    else:
        assert [bytes(view) for view in raw] == expected


def test_texts_are_those_found_before_the_message_breaks() -> None:
    data = Request(model_name="m", id="7").SerializeToString()
    assert texts(data + b"\x0a\x7f", (1, 3), 10) == {1: "m", 3: "7"}
    assert texts(data, (1, 3), max_fields=1) == {1: "m"}
    assert texts(b"\x0a\x01\xff", (1, 3), 10) == {}
