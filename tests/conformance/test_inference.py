"""What is valid, over both transports: every datatype, and each thing a request may ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from serve.tensors import DATATYPES
from tests.support.transports import HttpTransport, Transport
from tests.support.triton_repository import LABELS

ROW = np.arange(16, dtype=np.int32).reshape(1, 16)


def extremes(datatype: str) -> npt.NDArray[Any]:
    """Two rows of four elements, the smallest and the largest the datatype has among them."""
    dtype = DATATYPES[datatype].dtype
    if datatype == "BOOL":
        return np.array([[True, False, True, True], [False, False, True, False]])
    if datatype == "BYTES":
        texts = [["", "a", "größer", "x" * 300], ["\x00", "two\nlines", "日本", '"quoted"']]
        return np.array([[text.encode() for text in row] for row in texts], dtype=object)
    if datatype == "BF16":
        return np.array([[0.0, -1.5, 256.0, 2.0**127], [1.0, -0.0, 0.25, -(2.0**-126)]], dtype)
    if dtype.kind == "f":
        info = np.finfo(dtype)
        values = [[0.0, -0.0, info.max, info.min], [info.tiny, info.eps, np.inf, np.nan]]
        return np.array(values, dtype)
    limits = np.iinfo(dtype)
    return np.array([[limits.min, limits.max, 0, 1], [2, 3, 5, 7]], dtype)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_datatype_comes_back_to_the_last_bit(client: Transport, datatype: str) -> None:
    sent = extremes(datatype)
    answer = client.infer(f"identity_{datatype}", {"x": sent}, datatypes={"x": datatype})
    assert answer.datatypes == {"y": datatype}
    got = answer.outputs["y"]
    if datatype == "BYTES":
        assert got.tolist() == sent.tolist()
    else:
        assert (got.shape, got.tobytes()) == (sent.shape, sent.tobytes())


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in ("FP16", "BF16")])
def test_datatype_goes_as_json_or_typed_contents(client: Transport, datatype: str) -> None:
    sent = extremes(datatype)
    if datatype in ("FP32", "FP64"):
        sent = sent[:1]  # the second row has no JSON form
    data = sent.tolist()
    if datatype == "BYTES":
        data = [[element.decode() for element in row] for row in data]
    tensor = {"name": "x", "datatype": datatype, "shape": list(sent.shape), "data": data}
    (output,) = client.send(f"identity_{datatype}", {"inputs": [tensor]})["outputs"]
    assert output["datatype"] == datatype
    assert [int(n) for n in output["shape"]] == list(sent.shape)


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6, 7, 8], [[1, 2, 3, 4], [5, 6, 7, 8]]])
def test_http_json_data_comes_back_flat_however_it_was_nested(
    http: HttpTransport, data: list[Any]
) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": data}
    (output,) = http.send("identity_FP32", {"inputs": [tensor]})["outputs"]
    assert output["data"] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_sum_and_difference_are_right_for_each_row(client: Transport) -> None:
    left = np.arange(8 * 16, dtype=np.int32).reshape(8, 16)
    right = np.full((8, 16), 3, np.int32)
    answer = client.infer("simple", {"INPUT0": left, "INPUT1": right})
    assert list(answer.outputs) == ["OUTPUT0", "OUTPUT1"]
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], left + right)
    np.testing.assert_array_equal(answer.outputs["OUTPUT1"], left - right)


def test_inputs_may_come_in_any_order(client: Transport) -> None:
    answer = client.infer("simple", {"INPUT1": ROW, "INPUT0": 3 * ROW})
    np.testing.assert_array_equal(answer.outputs["OUTPUT1"], 2 * ROW)


def test_strings_come_back(client: Transport) -> None:
    sent = np.array([["a", "b"], ["", "ü"]], dtype=object)
    got = client.infer("simple_string", {"text": sent}).outputs["echo"]
    assert [[item.decode() for item in row] for row in got] == sent.tolist()


def test_unbatched_model_takes_its_shape_as_it_is(client: Transport) -> None:
    row = ROW[0]
    answer = client.infer("unbatched", {"INPUT0": row, "INPUT1": row})
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], 2 * row)


def test_request_id_is_echoed(client: Transport) -> None:
    inputs = {"INPUT0": ROW, "INPUT1": ROW}
    assert client.infer("simple", inputs, request_id="r-17").id == "r-17"
    assert client.infer("simple", inputs).id == ""


def test_requested_outputs_come_in_the_order_asked_for(client: Transport) -> None:
    inputs = {"INPUT0": ROW, "INPUT1": ROW}
    answer = client.infer("simple", inputs, outputs=["OUTPUT1", "OUTPUT0"])
    assert list(answer.outputs) == ["OUTPUT1", "OUTPUT0"]
    assert list(client.infer("simple", inputs, outputs=["OUTPUT1"]).outputs) == ["OUTPUT1"]


@pytest.mark.parametrize(("asked", "served"), [("", "2"), ("1", "1"), ("2", "2")])
def test_version_asked_for_answers_else_the_latest(
    client: Transport, asked: str, served: str
) -> None:
    sent = np.ones((1, 4), np.float32)
    assert client.infer("two_versions", {"x": sent}, version=asked).model_version == served


def test_classification_gives_the_largest_with_their_labels(client: Transport) -> None:
    sent = np.array([[0.5, 3.0, 1.0, 2.0], [4.0, 0.0, -1.0, 2.5]], np.float32)
    got = client.infer("labelled", {"x": sent}, outputs=["y"], classes=2)
    assert got.datatypes == {"y": "BYTES"}
    assert got.outputs["y"].tolist() == [
        [f"3.0:1:{LABELS[1]}".encode(), f"2.0:3:{LABELS[3]}".encode()],
        [f"4.0:0:{LABELS[0]}".encode(), f"2.5:3:{LABELS[3]}".encode()],
    ]


def test_classification_has_no_label_when_the_model_has_none(client: Transport) -> None:
    sent = np.array([[1.0, 2.0, 0.0, 0.0]], np.float32)
    got = client.infer("identity_FP32", {"x": sent}, outputs=["y"], classes=1)
    assert got.outputs["y"].tolist() == [[b"2.0:1"]]


def test_input_left_out_takes_its_default(client: Transport) -> None:
    age = np.array([[30.0], [40.0]], np.float32)
    assert client.infer("credit", {"age": age}).outputs["score"].tolist() == [[37.0], [47.0]]


def test_http_null_takes_the_default(http: HttpTransport) -> None:
    age = {"name": "age", "datatype": "FP32", "shape": [2, 1], "data": [1, 2]}
    income = {"name": "income", "datatype": "FP32", "shape": [2, 1], "data": [None, 5]}
    (output,) = http.send("credit", {"inputs": [age, income]})["outputs"]
    assert output["data"] == [8, 7]


@pytest.mark.parametrize("age", [0.0, 150.0])
def test_value_at_the_end_of_its_range_is_taken(client: Transport, age: float) -> None:
    sent = np.array([[age]], np.float32)
    assert client.infer("credit", {"age": sent}).outputs["score"].item() == age + 7


@pytest.mark.parametrize("options", [{"priority": 1}, {"timeout": 50_000_000}])
def test_schedule_parameters_are_honoured(client: Transport, options: dict[str, int]) -> None:
    answer = client.infer("simple", {"INPUT0": ROW, "INPUT1": ROW}, **options)
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], 2 * ROW)


def test_parameters_of_the_users_own_are_tolerated(client: Transport) -> None:
    inputs = {"INPUT0": ROW, "INPUT1": ROW}
    answer = client.infer("simple", inputs, parameters={"tenant": "a", "trial": True})
    np.testing.assert_array_equal(answer.outputs["OUTPUT0"], 2 * ROW)
