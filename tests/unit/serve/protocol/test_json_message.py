import msgspec
import pytest

from serve.errors import InvalidRequest
from serve.protocol.json_message import MAX_INPUTS, parse_request


def with_input(fields: bytes) -> bytes:
    return b'{"inputs":[{' + fields + b"}]}"


def with_data(datatype: bytes, data: bytes) -> bytes:
    return with_input(b'"name":"x","shape":[1],"datatype":"%b","data":%b' % (datatype, data))


def test_all_fields_are_read_in_any_order():
    message = parse_request(
        b'{"outputs":[{"parameters":{"binary_data":true},"name":"y"}],"parameters":{"a":1},'
        b'"id":"7","inputs":[{"data":[1,[null]],"shape":[2],"name":"x","datatype":"INT8"}]}'
    )
    (item,) = message.inputs
    assert (item.name, item.datatype, item.shape) == ("x", "INT8", (2,))
    assert item.data == [1, [None]]
    assert (message.id, message.parameters) == ("7", {"a": 1})
    assert message.outputs[0].name == "y"
    assert message.outputs[0].parameters == {"binary_data": True}


def test_unknown_keys_and_nulls_are_tolerated():
    message = parse_request(
        b'{"id":null,"parameters":null,"outputs":null,"later":{"extension":[1]},'
        b'"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","parameters":null,"new":{}}]}'
    )
    assert message.inputs[0].data is msgspec.UNSET
    assert message.outputs is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_body_may_be_any_buffer(kind):
    assert parse_request(kind(b'{"inputs":[]}')).inputs == []


NESTED = 100_000
BAD = {
    "empty": (b"", "the JSON is malformed: Input data was truncated"),
    "text": (b"hello", "the JSON is malformed: invalid character (byte 0)"),
    "array": (b"[]", "the request: expected object, got array"),
    "no inputs": (b"{}", "the request: object missing required field inputs"),
    "inputs object": (b'{"inputs":{}}', "inputs: expected array, got object"),
    "inputs null": (b'{"inputs":null}', "inputs: expected array, got null"),
    "input number": (b'{"inputs":[1]}', "inputs[0]: expected object, got int"),
    "truncated": (b'{"inputs":[', "malformed"),
    "trailing": (b'{"inputs":[]}{', "trailing characters"),
    "trailing comma": (b'{"inputs":[],}', "malformed"),
    "single quotes": (b"{'inputs':[]}", "malformed"),
    "BOM": (b'\xef\xbb\xbf{"inputs":[]}', "malformed"),
    "UTF-16": ('{"inputs":[]}'.encode("utf-16"), "malformed"),
    "NUL": (b'{"inputs":[]}\0', "malformed"),
    "id number": (b'{"inputs":[],"id":3}', "id: expected str | null, got int"),
    "parameters array": (b'{"inputs":[],"parameters":[]}', "parameters: expected object | null"),
    "outputs object": (b'{"inputs":[],"outputs":{}}', "outputs: expected array | null"),
    "output text": (b'{"inputs":[],"outputs":["y"]}', "outputs[0]: expected object, got str"),
    "output nameless": (b'{"inputs":[],"outputs":[{}]}', "outputs[0]: object missing required"),
    "no name": (with_input(b'"datatype":"FP32","shape":[1]'), "missing required field name"),
    "no shape": (with_input(b'"datatype":"FP32","name":"x"'), "missing required field shape"),
    "no datatype": (with_input(b'"name":"x","shape":[1]'), "missing required field datatype"),
    "name number": (with_input(b'"name":1,"shape":[1],"datatype":"FP32"'), "inputs[0].name"),
    "datatype number": (with_input(b'"datatype":1'), "inputs[0].datatype: expected str"),
    "datatype": (with_data(b"FP33", b"[1]"), "unknown datatype 'FP33', use one of BF16, BOOL"),
    "datatype case": (with_data(b"fp32", b"[1]"), "unknown datatype 'fp32'"),
    "datatype long": (with_data(b"F" * 10**6, b"[1]"), "(1000000 characters), use one of"),
    "shape text": (with_input(b'"datatype":"FP32","name":"x","shape":"1"'), "inputs[0].shape"),
    "shape float": (
        with_input(b'"datatype":"FP32","name":"x","shape":[1.0]'),
        "inputs[0].shape[0]: expected int, got float",
    ),
    "shape bool": (
        with_input(b'"datatype":"FP32","name":"x","shape":[true]'),
        "inputs[0].shape[0]: expected int, got bool",
    ),
    "shape digits": (
        with_input(b'"datatype":"FP32","name":"x","shape":[%b]' % (b"9" * 10**7)),
        "inputs[0].shape[0]: integer value out of range",
    ),
    "data null": (with_data(b"FP32", b"null"), "inputs[0].data: expected array, got null"),
    "data number": (with_data(b"FP32", b"1"), "inputs[0].data: expected array, got int"),
    "data text": (with_data(b"BYTES", b'"a"'), "inputs[0].data: expected array, got str"),
    "data object": (with_data(b"FP32", b"[{}]"), "data[0]: expected float | array | null"),
    "FP32 bool": (
        with_data(b"FP32", b"[true]"),
        "data[0]: expected float | array | null, got bool",
    ),
    "FP32 text": (with_data(b"FP32", b'["1"]'), "data[0]: expected float | array | null, got str"),
    "FP64 range": (with_data(b"FP64", b"[1e400]"), "inputs[0].data[0]: number out of range"),
    "INT64 bool": (with_data(b"INT64", b"[0,true]"), "data[1]: expected int | array | null"),
    "INT64 text": (with_data(b"INT64", b'["1"]'), "data[0]: expected int | array | null, got str"),
    "BOOL number": (with_data(b"BOOL", b"[1]"), "data[0]: expected bool | array | null, got int"),
    "BOOL text": (with_data(b"BOOL", b'["true"]'), "expected bool | array | null, got str"),
    "BYTES number": (with_data(b"BYTES", b"[1]"), "data[0]: expected str | array | null, got int"),
    "BYTES UTF-8": (with_data(b"BYTES", b'["\xff"]'), "the JSON is not valid UTF-8"),
    "BYTES surrogate": (with_data(b"BYTES", rb'["\ud800"]'), "malformed"),
    "NaN": (with_data(b"FP32", b"[NaN]"), "NaN and Infinity are not JSON, send null for a missing"),
    "Infinity": (with_data(b"FP32", b"[Infinity]"), "NaN and Infinity are not JSON"),
    "-Infinity": (with_data(b"FP32", b"[-Infinity]"), "NaN and Infinity are not JSON"),
    "digit bomb INT64": (with_data(b"INT64", b"[%b]" % (b"9" * 10**7)), "out of range"),
    "digit bomb FP32": (with_data(b"FP32", b"[%b]" % (b"9" * 10**7)), "out of range"),
    "digit bomb parameter": (
        b'{"inputs":[],"parameters":{"a":%b}}' % (b"9" * 10**7),
        "parameters[...]: integer value out of range",
    ),
    "nested data": (with_data(b"FP32", b"[" * NESTED + b"]" * NESTED), "got array"),
    "nested FP16": (with_data(b"FP16", b"[" * NESTED + b"]" * NESTED), "nested too deep"),
    "nested parameters": (b'{"parameters":{"a":' + b"[" * NESTED, "nested too deep"),
    "nested unknown": (b'{"a":' + b'{"a":' * NESTED, "nested too deep"),
}


@pytest.mark.parametrize(("body", "message"), BAD.values(), ids=BAD)
def test_bad_json_is_refused_with_its_place(body, message):
    with pytest.raises(InvalidRequest) as error:
        parse_request(body)
    assert message in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("colon", [b":", b" : "])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_inputs_by_the_thousand_are_refused_unread(kind, colon):
    item = b'{"name":"x","shape":[1],"data":[1],"datatype"%b"FP32"}' % colon
    body = b'{"inputs":[' + b",".join([item] * (MAX_INPUTS + 1)) + b"]}"
    with pytest.raises(InvalidRequest, match="inputs: more than 4096 inputs"):
        parse_request(kind(body))


def test_string_elements_are_not_mistaken_for_inputs():
    body = with_data(
        b"BYTES", b"[" + b",".join([rb'"datatype","\"datatype\":"'] * MAX_INPUTS) + b"]"
    )
    assert len(parse_request(body).inputs[0].data) == 2 * MAX_INPUTS
