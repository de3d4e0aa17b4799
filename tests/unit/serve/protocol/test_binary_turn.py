"""Binary requests decoded together are what they are when decoded one by one."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import InvalidRequest, PenstockError
from serve.protocol.binary_turn import BinaryHead, binary_head, decode_binary_turn
from serve.tensors import InferRequest
from tests.support.turns import alone, outcomes, told


def header(**changes: Any) -> bytes:
    tensor: dict[str, Any] = {
        "name": "x",
        "shape": [1, 2],
        "datatype": "FP32",
        "parameters": {"binary_data_size": 8},
    }
    message = {"inputs": [tensor | changes.pop("tensor", {})], **changes}
    return json.dumps(message).encode()


def raw(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


def text(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def record(amount: float, *words: bytes, shape: Sequence[int] = (1, 1), **fields: Any) -> bytes:
    """A number, and strings of any length, as a client sends them; its header's length first."""
    number, strings = raw(amount), text(*words)
    inputs = [
        {"name": "amount", "shape": [1, 1], "datatype": "FP32"},
        {"name": "words", "shape": list(shape), "datatype": "BYTES"},
    ]
    for tensor, data in zip(inputs, (number, strings), strict=True):
        tensor["parameters"] = {"binary_data_size": len(data)}
    return json.dumps({"inputs": inputs, **fields}).encode() + number + strings


def head_bytes(body: bytes) -> int:
    return json.JSONDecoder().raw_decode(body.decode("latin-1"))[1]


def head_of(body: bytes) -> BinaryHead:
    head = binary_head(body[: head_bytes(body)], len(body))
    assert head is not None
    return head


def test_requests_whose_strings_differ_in_length_become_one_block() -> None:
    bodies = [record(1, b"grocery", id="a"), record(2, b"electronics"), record(3, b"")]
    heads = [head_of(body) for body in bodies]
    assert heads[0].form is heads[1].form is heads[2].form
    turn = decode_binary_turn(heads, bodies, "m", "7")
    assert turn.block is not None
    assert turn.members == [0, 1, 2]
    assert [request.id for request in turn.block.requests] == ["a", "", ""]
    amount, words = turn.block.inputs
    assert amount.array.tolist() == [[1], [2], [3]]
    assert words.array.tolist() == [[b"grocery"], [b"electronics"], [b""]]


def test_requests_of_several_strings_become_one_block() -> None:
    bodies = [record(1, b"a", b"bc", shape=(1, 2)), record(2, b"", b"d", shape=(1, 2))]
    turn = decode_binary_turn([head_of(body) for body in bodies], bodies, "m", "")
    assert turn.block is not None
    assert turn.block.inputs[1].array.tolist() == [[b"a", b"bc"], [b"", b"d"]]


def test_a_shape_of_its_own_is_a_form_of_its_own() -> None:
    one, other = record(1, b"a"), record(1, b"a", b"b", shape=(1, 2))
    assert head_of(one).form is not head_of(other).form


def test_binary_outputs_are_a_form_of_their_own() -> None:
    asked = head_of(record(1, b"a", parameters={"binary_data_output": True}))
    assert asked.form.binary_outputs
    assert asked.form is not head_of(record(1, b"a")).form


def test_a_string_that_lies_about_its_length_is_wrong_by_itself() -> None:
    good = record(1, b"good")
    bad = good[:-8] + struct.pack("<I", 5) + b"good"
    bodies = [good, bad, good]
    turn = decode_binary_turn([head_of(body) for body in bodies], bodies, "m", "")
    found = outcomes(turn, 3)
    assert [type(outcome) for outcome in found] == [InferRequest, InvalidRequest, InferRequest]
    assert "overruns the data by 1 bytes" in str(found[1])


@given(st.lists(st.lists(st.binary(max_size=3), min_size=1, max_size=2), min_size=1, max_size=5))
def test_block_of_strings_gives_what_each_body_gives_alone(words: list[list[bytes]]) -> None:
    bodies = [record(1, *each, shape=(1, 1)) for each in words]
    heads = [head_of(body) for body in bodies]
    together = outcomes(decode_binary_turn(heads, bodies, "m", ""), len(bodies))
    single = [alone(body, head_bytes(body)) for body in bodies]
    assert repr([told(one) for one in together]) == repr([told(one) for one in single])


HEADERS = [
    header(),
    header(id="a"),
    header(parameters={"binary_data_output": True}),
    header(parameters={"binary_data_output": 1}),
    header(parameters={"priority": 1}),
    header(outputs=[{"name": "y"}]),
    header(tensor={"shape": [2]}),
    header(tensor={"shape": [3]}),
    header(tensor={"shape": []}),
    header(tensor={"shape": [-1, -2]}),
    header(tensor={"datatype": "BYTES", "shape": [1]}),
    header(tensor={"datatype": "FP16", "shape": [4]}),
    header(tensor={"parameters": {"binary_data_size": -8}}),
    header(tensor={"parameters": {"binary_data_size": 8, "other": 1}}),
    header(tensor={"parameters": {"binary_data_size": 8, "shared_memory_region": "r"}}),
    header(tensor={"data": [1, 2]}),
    header(tensor={"datatype": "BOOL", "shape": [8]}),
    header(tensor={"name": "x" * 5000}),
    b"{",
]


@pytest.mark.parametrize("top", HEADERS, ids=range(len(HEADERS)))
@given(tails=st.lists(st.sampled_from([raw(1, 2), raw(3, 4), b"", raw(1)]), max_size=4))
def test_binary_turn_gives_what_each_body_gives_alone(top: bytes, tails: list[bytes]) -> None:
    bodies = [top + tail for tail in tails]
    heads = [binary_head(top, len(body)) for body in bodies]
    taken = [(head, body) for head, body in zip(heads, bodies, strict=True) if head is not None]
    together: list[InferRequest | PenstockError] = []
    if taken:
        turn = decode_binary_turn([head for head, _ in taken], [body for _, body in taken], "m", "")
        together = outcomes(turn, len(taken))
    single = [alone(body, len(top)) for _, body in taken]
    assert repr([told(one) for one in together]) == repr([told(one) for one in single])


def test_what_is_wrong_or_asks_for_more_has_no_head() -> None:
    taken = [index for index, top in enumerate(HEADERS) if binary_head(top, len(top) + 8)]
    assert taken == [0, 1, 2, 6, 10, 11, 16, 17]
    assert binary_head(HEADERS[0], len(HEADERS[0]) + 7) is None
