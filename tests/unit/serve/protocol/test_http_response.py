import json

import ml_dtypes
import numpy as np
import pytest

from serve.errors import InternalError, InvalidRequest
from serve.protocol.http_response import Encoded, encode, encode_binary_rows, encode_rows
from serve.tensors import Array, InferRequest, InferResponse, RequestedOutput, Tensor, datatype_of


def asked(*outputs: RequestedOutput, **fields: object) -> InferRequest:
    return InferRequest("m", "", [], outputs=list(outputs) or None, **fields)


def wanted(name: str, binary: bool) -> RequestedOutput:
    return RequestedOutput(name, parameters={"binary_data": binary})


def answer(*arrays: np.ndarray, **fields: object) -> InferResponse:
    outputs = [Tensor(f"y{i}", datatype_of(array), array) for i, array in enumerate(arrays)]
    return InferResponse("m", "1", outputs, **fields)


def data_of(encoded: Encoded, index: int = 0) -> object:
    assert encoded.json_bytes is None
    (body,) = encoded.parts
    return json.loads(body)["outputs"][index]["data"]


ONE = np.array([[0.1]], np.float32)


def test_encode_gives_the_shortest_json():
    encoded = encode(asked(), answer(ONE))
    assert encoded == Encoded(
        None,
        [
            b'{"model_name":"m","model_version":"1","outputs":'
            b'[{"name":"y0","datatype":"FP32","shape":[1,1],"data":[0.1]}]}'
        ],
    )


def test_encode_echoes_the_requests_id_and_gives_parameters():
    response = answer(ONE, ONE, id="another's", parameters={"a": 1.5, "b": True})
    response.outputs[1].parameters = {"c": "d"}
    reply = json.loads(encode(asked(id='quo"te'), response).parts[0])
    assert reply["id"] == 'quo"te'
    assert reply["parameters"] == {"a": 1.5, "b": True}
    assert [output.get("parameters") for output in reply["outputs"]] == [None, {"c": "d"}]


def test_encode_of_no_outputs_is_json():
    assert json.loads(encode(asked(), answer()).parts[0])["outputs"] == []


@pytest.mark.parametrize(
    ("request_", "binary"),
    [
        (asked(), [False, False]),
        (asked(parameters={"binary_data_output": True}), [True, True]),
        (asked(parameters={"binary_data_output": False}), [False, False]),
        (asked(wanted("y0", True), RequestedOutput("y1")), [True, False]),
        (asked(wanted("y0", False), parameters={"binary_data_output": True}), [False, True]),
        (asked(wanted("y1", True), parameters={"binary_data_output": False}), [False, True]),
    ],
)
def test_encode_makes_binary_what_was_asked_for(request_, binary):
    arrays = (ONE, np.array([1, 2], np.int16))
    encoded = encode(request_, answer(*arrays))
    head = json.loads(encoded.parts[0])
    assert encoded.json_bytes == (len(encoded.parts[0]) if any(binary) else None)
    assert [bytes(part) for part in encoded.parts[1:]] == [
        array.tobytes() for array, is_binary in zip(arrays, binary, strict=True) if is_binary
    ]
    for output, array, is_binary in zip(head["outputs"], arrays, binary, strict=True):
        assert ("data" in output) != is_binary
        if is_binary:
            assert output["parameters"] == {"binary_data_size": array.nbytes}


def test_encode_keeps_an_outputs_parameters_beside_the_binary_size():
    response = answer(ONE)
    response.outputs[0].parameters = {"c": "d"}
    head = json.loads(encode(asked(wanted("y0", True)), response).parts[0])
    assert head["outputs"][0]["parameters"] == {"c": "d", "binary_data_size": 4}


def test_encode_does_not_copy_binary_outputs():
    array = np.zeros((64, 30), np.float32)
    part = encode(asked(wanted("y0", True)), answer(array)).parts[1]
    assert np.shares_memory(np.asarray(part), array)


def test_encode_gives_float32_that_comes_back_with_the_same_bits():
    bits = np.random.default_rng(0).integers(0, 2**32, 20000, dtype=np.uint32)
    edge = [0.1, -0.0, 1e-45, 1.1754944e-38, 3.4028235e38, 16777217.0]
    array = np.concatenate([bits.view(np.float32), np.array(edge, np.float32)])
    array = array[np.isfinite(array)]
    back = np.array(data_of(encode(asked(), answer(array))), np.float64).astype(np.float32)
    assert np.array_equal(back.view(np.uint32), array.view(np.uint32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_encode_gives_null_for_what_json_has_no_number_for(dtype):
    array = np.array([np.nan, np.inf, -np.inf, 1], dtype)
    assert data_of(encode(asked(), answer(array))) == [None, None, None, 1]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([True, False]), [True, False]),
        (np.array([2**64 - 1], np.uint64), [2**64 - 1]),
        (np.array([-(2**63)], np.int64), [-(2**63)]),
        (np.array([-128, 127], np.int8), [-128, 127]),
        (np.array(5, np.int32), [5]),
        (np.zeros((2, 0), np.float32), []),
        (np.arange(6, dtype=np.int32).reshape(2, 3).T, [0, 3, 1, 4, 2, 5]),
        (np.arange(6, dtype=np.float32)[::2], [0, 2, 4]),
        (np.array(["é", "b"]), ["é", "b"]),
        (np.array([b"a", b""]), ["a", ""]),
        (np.array([["é".encode()], ["q"]], dtype=object), ["é", "q"]),
    ],
)
def test_encode_gives_flat_row_major_json(array, expected):
    assert data_of(encode(asked(), answer(array))) == expected


def test_encode_takes_foreign_byte_order():
    response = InferResponse("m", "1", [Tensor("y", "FP32", np.array([1.5], ">f4"))])
    assert data_of(encode(asked(), response)) == [1.5]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_encode_asks_for_binary_when_there_is_no_json_form(dtype):
    array = np.zeros(2, dtype)
    with pytest.raises(InvalidRequest, match=r"output 'y0': .* ask for it .* binary_data"):
        encode(asked(), answer(array))
    assert bytes(encode(asked(wanted("y0", True)), answer(array)).parts[1]) == bytes(4)


def test_encode_asks_for_binary_when_bytes_are_not_text():
    array = np.array([b"\xff"], dtype=object)
    with pytest.raises(InvalidRequest, match="output 'y0' is not UTF-8 text, ask for it"):
        encode(asked(), answer(array))
    assert encode(asked(wanted("y0", True)), answer(array)).parts[1] == b"\1\0\0\0\xff"


@pytest.mark.parametrize("binary", [False, True])
def test_encode_reports_an_array_that_is_not_of_its_datatype(binary):
    response = InferResponse("m", "1", [Tensor("y", "FP32", np.array([1j]))])
    with pytest.raises(InternalError):
        encode(asked(wanted("y", binary)), response)


ARRAYS = [
    ("FP32", np.array([[0.1, 2], [3, np.inf], [5, 6]], np.float32)),
    ("INT64", np.arange(3)),
    ("BOOL", np.array([[True], [False], [True]])),
    ("BYTES", np.array([["a],[b"], [b"%s"], ["é"]], object)),
    ("FP64", np.zeros((3, 0))),
    ("FP32", np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 2, 2))),
    ("INT32", np.arange(3, dtype=">i4")),
]


def alone(response: InferResponse, start: int, stop: int, request: InferRequest) -> Encoded:
    outputs = [
        Tensor(output.name, output.datatype, output.array[start:stop])
        for output in response.outputs
    ]
    own = InferResponse(response.model_name, response.model_version, outputs, request.id)
    return encode(request, own)


@pytest.mark.parametrize("rows", [(1, 1, 1), (2, 1), (3,)])
@pytest.mark.parametrize("names", [("y",), ("y", "100%", 'q"')])
@pytest.mark.parametrize(("datatype", "array"), ARRAYS, ids=[name for name, _ in ARRAYS])
def test_encode_rows_gives_what_encode_gives_each(
    rows: tuple[int, ...], names: tuple[str, ...], datatype: str, array: Array
) -> None:
    response = InferResponse("m%", "1", [Tensor(name, datatype, array) for name in names])
    shares = [(count, "id" if index else "") for index, count in enumerate(rows)]
    start = 0
    for body, (count, request_id) in zip(encode_rows(response, shares), shares, strict=True):
        request = InferRequest("m%", "", [], request_id)
        expected = alone(response, start, start + count, request)
        assert body == expected.parts[0]
        start += count


@pytest.mark.parametrize("rows", [(1, 1, 1), (2, 1), (3,)])
@pytest.mark.parametrize(("datatype", "array"), ARRAYS[:5], ids=[name for name, _ in ARRAYS[:5]])
def test_encode_binary_rows_gives_what_encode_gives_each(
    rows: tuple[int, ...], datatype: str, array: Array
) -> None:
    response = InferResponse("m", "1", [Tensor("y", datatype, array), Tensor("z", datatype, array)])
    shares = [(count, "id" if index else "") for index, count in enumerate(rows)]
    bodies = encode_binary_rows(response, shares)
    start = 0
    for (json_bytes, body), (count, request_id) in zip(bodies, shares, strict=True):
        request = InferRequest("m", "", [], request_id, parameters={"binary_data_output": True})
        expected = alone(response, start, start + count, request)
        assert (json_bytes, body) == (expected.json_bytes, b"".join(expected.parts))
        start += count


@pytest.mark.parametrize("shares", [[(1, "")], [(1, ""), (1, "")]])
def test_encode_rows_refuses_what_has_no_json(shares: list[tuple[int, str]]) -> None:
    array = np.zeros((len(shares), 1), np.float16)
    with pytest.raises(InvalidRequest, match="FP16 has no JSON form"):
        encode_rows(InferResponse("m", "1", [Tensor("y", "FP16", array)]), shares)
