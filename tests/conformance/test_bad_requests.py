"""What is not valid, over both transports: a clear refusal, and the next request is answered."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from serve.errors import Code
from tests.support.transports import HttpTransport, Refused, Transport

Message = dict[str, Any]
Change = Callable[[Message], Any]


def tensor(name: str, **fields: Any) -> Message:
    return {"name": name, "datatype": "INT32", "shape": [1, 16], "data": [1] * 16, **fields}


TWICE = "given (before|more than once)"
GOOD: Message = {"inputs": [tensor("INPUT0"), tensor("INPUT1")]}


def of_input(**fields: Any) -> Change:
    return lambda message: message["inputs"][1].update(fields)


def without_data(message: Message) -> None:
    del message["inputs"][1]["data"]


def wanting(*outputs: Message) -> Change:
    return lambda message: message.update(outputs=list(outputs))


def asking(**parameters: Any) -> Change:
    return lambda message: message.update(parameters=parameters)


def classes(value: Any) -> Change:
    return wanting({"name": "OUTPUT0", "parameters": {"classification": value}})


CASES: dict[str, tuple[Change, str]] = {
    "wrong datatype": (of_input(datatype="INT64"), "has datatype INT64, the model expects INT32"),
    "unknown datatype": (of_input(datatype="FLOAT"), "FLOAT"),
    "wrong rank": (of_input(shape=[16]), r"has shape \[16\], the model expects \[-1,16\]"),
    "wrong shape": (of_input(shape=[1, 4], data=[1] * 4), r"has shape \[1,4\]"),
    "negative shape": (of_input(shape=[-1, 16]), "shape"),
    "overflowing shape": (of_input(shape=[2**40, 2**40]), "shape"),
    "too few elements": (of_input(data=[1] * 15), "15"),
    "too many elements": (of_input(data=[1] * 17), "17"),
    "no rows": (of_input(shape=[0, 16], data=[]), "rows"),
    "unequal rows": (
        of_input(shape=[2, 16], data=[1] * 32),
        "first dimension must be the same",
    ),
    "unknown name": (of_input(name="INPUT9"), "unexpected input 'INPUT9'.*INPUT0, INPUT1"),
    "missing input": (lambda message: message["inputs"].pop(), "missing input 'INPUT1'"),
    "no inputs": (lambda message: message["inputs"].clear(), "missing input"),
    "given twice": (of_input(name="INPUT0"), "INPUT0.*given (before|more than once)"),
    "a third input": (lambda m: m["inputs"].append(tensor("EXTRA")), "unexpected input 'EXTRA'"),
    "no data": (without_data, "INPUT1"),
    "unknown output": (wanting({"name": "OUTPUT9"}), "unexpected output 'OUTPUT9'.*OUTPUT0"),
    "output twice": (
        wanting({"name": "OUTPUT0"}, {"name": "OUTPUT0"}),
        TWICE,
    ),
    "no classes": (classes(0), "classification must be an integer above 0"),
    "negative classes": (classes(-1), "classification must be an integer above 0"),
    "classes as text": (classes("three"), "classification must be an integer above 0"),
    "negative priority": (asking(priority=-1), "parameter 'priority' must be a whole number"),
    "priority as text": (asking(priority="high"), "parameter 'priority' must be a whole number"),
    "negative timeout": (asking(timeout=-5), "parameter 'timeout' must be a whole number"),
    "timeout as text": (asking(timeout="1s"), "parameter 'timeout' must be a whole number"),
    "reserved parameter": (asking(triton_secret=1), "triton_secret.*reserved"),
}


def assert_still_answers(client: Transport) -> None:
    assert client.send("simple", GOOD)["outputs"][0]["name"] == "OUTPUT0"


@pytest.mark.parametrize("case", CASES)
def test_bad_request_is_refused_with_the_field_and_costs_nobody_else(
    client: Transport, case: str
) -> None:
    change, text = CASES[case]
    message = copy.deepcopy(GOOD)
    change(message)
    with pytest.raises(Refused, match=text) as refused:
        client.send("simple", message)
    assert refused.value.code is Code.INVALID_ARGUMENT
    assert_still_answers(client)


def test_batch_over_the_limit_is_refused_with_the_limit(client: Transport) -> None:
    rows = np.zeros((9, 16), np.int32)
    with pytest.raises(Refused, match=r"batch of 9 rows, the model takes at most 8") as refused:
        client.infer("simple", {"INPUT0": rows, "INPUT1": rows})
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("age", [-1.0, 151.0, np.nan, np.inf, -np.inf])
def test_value_out_of_range_is_refused_with_its_place(client: Transport, age: float) -> None:
    sent = np.array([[20.0], [age]], np.float32)
    with pytest.raises(Refused, match=r"input 'age' has .* at \[1,0\].*0.0 to 150.0") as refused:
        client.infer("credit", {"age": sent})
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_input_without_default_must_be_there(client: Transport) -> None:
    income = np.array([[1.0]], np.float32)
    with pytest.raises(Refused, match="missing input 'age'") as refused:
        client.infer("credit", {"income": income})
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_classification_of_text_is_refused(client: Transport) -> None:
    text = np.array([["a", "b"]], dtype=object)
    with pytest.raises(Refused, match="classification needs numbers") as refused:
        client.infer("simple_string", {"text": text}, outputs=["echo"], classes=1)
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_text_that_is_not_utf8_is_refused(client: Transport) -> None:
    text = np.array([[b"\xff\xfe", b"b"]], dtype=object)
    with pytest.raises(Refused, match="not UTF-8") as refused:
        client.infer("simple_string", {"text": text})
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("version", ["9", "18446744073709551616"])
def test_unknown_version_is_not_found(client: Transport, version: str) -> None:
    with pytest.raises(Refused) as refused:
        client.send("simple", GOOD, version)
    assert refused.value.code in (Code.NOT_FOUND, Code.INVALID_ARGUMENT)
    assert version in refused.value.message


def test_sequence_is_not_offered(client: Transport) -> None:
    with pytest.raises(Refused, match="sequence_id") as refused:
        client.send("simple", {**GOOD, "parameters": {"sequence_id": 5}})
    assert refused.value.code is Code.UNSUPPORTED


def test_shared_memory_is_not_offered(client: Transport) -> None:
    message = copy.deepcopy(GOOD)
    message["inputs"][0]["parameters"] = {"shared_memory_region": "r"}
    with pytest.raises(Refused, match="shared memory is not supported") as refused:
        client.send("simple", message)
    assert refused.value.code is Code.UNSUPPORTED


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([2**31] * 16, "out of range for INT32"),
        ([1.5] * 16, "takes integers only"),
        ([None] * 16, "has null elements, and the model has no default"),
        ([[1] * 8, [1] * 8], "at depth"),
        (["1"] * 16, "data"),
    ],
)
def test_http_data_that_does_not_fit_is_refused(
    http: HttpTransport, data: list[Any], text: str
) -> None:
    message = {"inputs": [tensor("INPUT0", data=data), tensor("INPUT1")]}
    with pytest.raises(Refused, match=text) as refused:
        http.send("simple", message)
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"inputs": 1}', b"\xff", b'{"inputs":[{}]}'])
def test_http_body_that_is_no_request_is_refused(http: HttpTransport, body: bytes) -> None:
    status, reply = http.request("POST", "/v2/models/simple/infer", body)
    assert status == 400
    assert b'"error"' in reply


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_has_no_text_form(http: HttpTransport, datatype: str) -> None:
    message = {"inputs": [{"name": "x", "datatype": datatype, "shape": [1, 4], "data": [1] * 4}]}
    with pytest.raises(Refused, match="no JSON form") as refused:
        http.send(f"identity_{datatype}", message)
    assert refused.value.code is Code.INVALID_ARGUMENT
