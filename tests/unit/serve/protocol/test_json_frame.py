"""What is recalled by its frame is what the parser would have made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serve.errors import PenstockError
from serve.protocol.http_request import decode
from serve.protocol.json_frame import MAX_FRAMES, FrameMemory
from serve.protocol.json_message import parse_request
from serve.tensors import Tensor


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def body(*inputs: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"inputs": inputs, **fields}).encode()


def learnt(one: bytes) -> FrameMemory:
    frames = FrameMemory()
    frames.learn(one, parse_request(one))
    return frames


def told(tensors: list[Tensor]) -> str:
    return repr([(each.name, each.datatype, each.array.tolist()) for each in tensors])


def test_numbers_and_strings_of_several_inputs_are_recalled() -> None:
    first = body(tensor("a", "FP32", [1, 2], [1, 2]), tensor("t", "BYTES", [1, 2], ["x", "y, z"]))
    other = body(tensor("a", "FP32", [1, 2], [-3e2, 4]), tensor("t", "BYTES", [1, 2], ["", ","]))
    frame = learnt(first).recall(other)
    assert frame is not None
    tensors = frame.tensors([other, other])
    assert tensors is not None
    assert frame.rows == 1
    assert [each.array.tolist() for each in tensors] == [
        [[-300, 4], [-300, 4]],
        [[b"", b","], [b"", b","]],
    ]


def test_string_with_a_bracket_is_recalled_where_it_is_the_only_input() -> None:
    one = body(tensor("t", "BYTES", [1], ["a"]))
    frame = learnt(one).recall(one)
    assert frame is not None
    tensors = frame.tensors([body(tensor("t", "BYTES", [1], ["]}, ["]))])
    assert tensors is not None
    assert tensors[0].array.tolist() == [b"]}, ["]


@pytest.mark.parametrize("datatype", ["BOOL", "INT8", "UINT64", "FP64"])
def test_every_datatype_with_a_json_form_is_recalled(datatype: str) -> None:
    one = body(tensor("a", datatype, [1], [True if datatype == "BOOL" else 1]))
    frame = learnt(one).recall(one)
    assert frame is not None
    assert frame.tensors([one]) is not None


A = tensor("a", "FP32", [1], [1])


@pytest.mark.parametrize(
    "one",
    [
        body(A, id="4711"),
        body(A, parameters={"priority": 1}),
        body(A, outputs=[{"name": "y"}]),
        body(A | {"parameters": {"unit": "m"}}),
        body(A, tensor("b", "FP32", [2], [1, 2])),
        body(A | {"data": []} | {"shape": [0]}),
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1],"data":[2]}]}',
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}],"data":[1]}',
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}],"x":{"data":[1]}}',
        b'{"x":{"data":[1]},"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}]}',
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","d\\u0061ta":[1]}]}',
        b'{"inputs":[{"name":"a\\n","shape":[1],"datatype":"FP32","data":[1]}]}',
        b'{"inputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1],"d\\u0061ta":[2]}]}',
        body(A | {"name": "x" * 5000}),
    ],
)
def test_what_may_change_or_be_misread_has_no_frame(one: bytes) -> None:
    assert learnt(one).recall(one) is None


def test_memory_is_bounded() -> None:
    frames = FrameMemory()
    bodies = [body(A | {"name": f"input{index}"}) for index in range(MAX_FRAMES + 1)]
    for one in bodies:
        frames.learn(one, parse_request(one))
    assert frames.recall(bodies[-1]) is not None
    assert frames.recall(bodies[0]) is None


PIECES = [
    *("1", "2.5", "-0", "1e400", "NaN", "null", "true", "[", "]", "[1]", "1],[2", "7,", ",", ""),
    *(" ", ", ", '"', '"a"', '"a,b"', '"]"', '"\\""', "\\", "\xff", '],"data":[1'),
    *(']}],"id":"x"}', '"a","b"', "null,1", "1,2", "1 2", "1,2,3"),
]
DATA = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)


@given(st.data(), st.sampled_from(["FP32", "INT32", "BYTES", "BOOL"]), st.integers(1, 2))
@example(None, "FP32", 2)
def test_recalled_bodies_are_what_the_parser_makes_of_them(
    data: Any, datatype: str, inputs: int
) -> None:
    good = {"FP32": [5, 6], "INT32": [5, 6], "BYTES": ["a", "b"], "BOOL": [True, False]}[datatype]
    template = body(*(tensor(f"i{n}", datatype, [1, 2], good) for n in range(inputs)))
    shown = json.dumps(good)[1:-1].encode()

    def with_data(texts: list[str]) -> bytes:
        parts = template.split(shown)
        made = parts[0]
        for text, part in zip(texts, parts[1:], strict=True):
            made += text.encode("latin-1") + part
        return made

    drawn = [["1,2,3"] * inputs, ["1"] * inputs]
    if data is not None:
        text = st.one_of(DATA, st.just(shown.decode()))
        drawn = data.draw(st.lists(st.lists(text, min_size=inputs, max_size=inputs), min_size=1))
    bodies = [with_data(texts) for texts in drawn]
    frame = learnt(template).recall(bodies[0])
    assert frame is not None
    tensors = frame.tensors(bodies)
    if tensors is None:
        return  # the parser is asked
    whole = []
    for one in bodies:
        try:
            whole.append(decode(one, None, "m", "").inputs)
        except PenstockError as error:
            pytest.fail(f"recalled what the parser refuses: {one!r}: {error}")
    for index, each in enumerate(tensors):
        rows = [row for request in whole for row in request[index].array.tolist()]
        assert repr(each.array.tolist()) == repr(rows)
        assert all(request[index].missing is None for request in whole)
