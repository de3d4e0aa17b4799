"""Which answers are right."""

import json

import pytest

from benchmarks.loadgen.checks import Checker


def body(*values, name="y", shape=None, datatype="FP32", **more):
    shape = [len(values)] if shape is None else shape
    output = {"name": name, "datatype": datatype, "shape": shape, "data": list(values)}
    return json.dumps({"model_name": "m", "outputs": [output], **more}).encode()


RIGHT = Checker([[body(0.5, 2.0)], [body(1.0, 1.0), body(3.0, 3.0)]])


@pytest.mark.parametrize(
    ("number", "answer", "right"),
    [
        (0, body(0.5, 2.0), True),
        (0, body(0.500001, 2.0), True),  # rounding
        (0, body(0.51, 2.0), False),
        (0, body(0.5, 2.0, model_version="7"), True),
        (0, body(0.5), False),
        (0, body(0.5, 2.0, name="z"), False),
        (0, body(0.5, 2.0, shape=[1, 2]), False),
        (0, body(0.5, 2.0, datatype="FP64"), False),
        (0, body(0.5, "2.0"), False),
        (0, body(1.0, 1.0), False),
        (1, body(1.0, 1.0), True),
        (3, body(3.0, 3.0), True),  # payloads take turns
        (1, body(1.0, 3.0), False),
        (0, b"", False),
        (0, b"{}", False),
        (0, b'{"outputs": [{}]}', False),
        (0, b'{"outputs": 1}', False),
        (0, b"[]", False),
    ],
)
def test_answer_is_right(number, answer, right):
    assert RIGHT.is_right(number, answer) is right
    assert RIGHT.is_right(number, answer) is right  # also once it is known


def test_answers_are_told_apart():
    twice = Checker([[body(1.0), body(2.0), body(1.0)]])

    assert [twice.which(0, body(value)) for value in (1.0, 2.0, 3.0)] == [0, 1, None]
    assert twice.which(0, body(2.0, model_version="7")) == 1
    assert twice.which(0, body(2.0, model_version="7")) == 1  # also once it is known
