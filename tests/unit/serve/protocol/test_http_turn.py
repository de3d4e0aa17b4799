"""Requests decoded together are what they are when decoded one by one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from serve.errors import InvalidRequest
from serve.protocol.http_turn import decode_turn
from serve.protocol.json_frame import FrameMemory
from serve.tensors import InferRequest
from tests.support.turns import alone, outcomes, told


def body(data: Any, *, name: str = "x", shape: Any = (1, 2), **fields: Any) -> bytes:
    tensor = {"name": name, "shape": shape, "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor], **fields}).encode()


def test_requests_of_one_form_become_one_block() -> None:
    turn = decode_turn([body([1, 2]), body([3, 4], id="b"), body([5, 6])], "m", "7", FrameMemory())
    assert turn.block is not None
    assert turn.members == [0, 1, 2]
    assert turn.block.inputs[0].array.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert turn.block.rows == 1
    assert [request.id for request in turn.block.requests] == ["", "b", ""]
    assert turn.block.requests[0].model_version == "7"


def test_request_of_another_form_is_decoded_by_itself() -> None:
    bodies = [body([1, 2]), body([1], shape=[1, 1]), body([[3, 4]]), body([5, 6])]
    turn = decode_turn(bodies, "m", "", FrameMemory())
    assert turn.members == [0, 3]
    assert [index for index, _ in turn.others] == [1, 2]


def test_neighbours_of_a_wrong_request_are_decoded() -> None:
    bodies = [body([1, 2]), b"nonsense", body([3, "4"]), body([5, 6])]
    found = outcomes(decode_turn(bodies, "m", "", FrameMemory()), 4)
    assert [type(outcome) for outcome in found] == [
        InferRequest,
        InvalidRequest,
        InvalidRequest,
        InferRequest,
    ]


def test_null_of_one_request_is_missing_in_no_other() -> None:
    found = outcomes(decode_turn([body([1, 2]), body([None, 4])], "m", "", FrameMemory()), 2)
    assert [told(outcome)[3][0][4] for outcome in found] == [None, [[True, False]]]


ELEMENT = st.one_of(st.integers(-3, 3), st.none(), st.just("a"), st.just([1, 2]), st.floats())
BODY = st.one_of(
    st.builds(body, st.lists(ELEMENT, max_size=4)),
    st.builds(body, st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    st.builds(body, st.just([[1, 2], [3, 4]]), shape=st.just([2, 2])),
    st.builds(body, st.just([1, 2]), id=st.sampled_from(["", "a"])),
    st.builds(body, st.just([1, 2]), parameters=st.just({"priority": 2})),
    st.builds(body, st.just([1, 2]), outputs=st.just([{"name": "y"}])),
    st.builds(body, st.just([1, 2]), shape=st.lists(st.integers(-2, 3), max_size=3)),
    st.sampled_from([b"", b"{}", b'{"inputs":[]}', b"[", b'{"inputs":[{"name":"x"}]}']),
)


@given(st.lists(BODY, min_size=1, max_size=6), st.lists(BODY, min_size=1, max_size=3))
def test_turn_gives_what_each_body_gives_alone(bodies: list[bytes], before: list[bytes]) -> None:
    frames = FrameMemory()
    decode_turn(before * 2, "m", "", frames)
    together = outcomes(decode_turn(bodies, "m", "", frames), len(bodies))
    assert repr([told(one) for one in together]) == repr([told(alone(one)) for one in bodies])
