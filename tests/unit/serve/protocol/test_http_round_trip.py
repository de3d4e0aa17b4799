"""What one side encodes the other decodes to the same bits; tritonclient is the other side."""

import hypothesis.extra.numpy as npst
import numpy as np
import tritonclient.http as client
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.protocol.http_request import decode
from serve.protocol.http_response import encode
from serve.tensors import DATATYPES, Array, InferRequest, InferResponse, RequestedOutput, Tensor

BINARY_ONLY = ("FP16", "BF16")
QUIET = settings(max_examples=150, deadline=None, database=None)


def elements(datatype: str, binary: bool) -> st.SearchStrategy[object]:
    if datatype == "BYTES":
        return st.binary(max_size=9) if binary else st.text(max_size=9).map(str.encode)
    return npst.from_dtype(DATATYPES[datatype].dtype, allow_nan=binary, allow_infinity=binary)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Tensor, bool]:
    """A tensor, and whether it travels as binary."""
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    binary = datatype in BINARY_ONLY or draw(st.booleans())
    shape = draw(npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
    dtype = DATATYPES[datatype].dtype
    if datatype == "BF16":
        array = draw(npst.arrays(np.uint16, shape)).view(dtype)
    else:
        array = draw(npst.arrays(dtype, shape, elements=elements(datatype, binary)))
    return Tensor("", datatype, array), binary


@st.composite
def named_tensors(draw: st.DrawFn) -> list[tuple[Tensor, bool]]:
    pairs = draw(st.lists(tensors(), min_size=1, max_size=4))
    for index, (tensor, _) in enumerate(pairs):
        tensor.name = f't{index} é"'
    return pairs


def same(left: Array, right: Array) -> bool:
    if left.dtype == object or right.dtype == object:
        return left.shape == right.shape and left.tolist() == right.tolist()
    return (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


@QUIET
@given(named_tensors(), st.text(max_size=9))
def test_request_of_tritonclient_is_decoded_to_the_same_tensors(pairs, request_id):
    inputs, outputs = [], []
    for tensor, binary in pairs:
        item = client.InferInput(tensor.name, list(tensor.array.shape), tensor.datatype)
        inputs.append(item.set_data_from_numpy(tensor.array, binary_data=binary))
        outputs.append(client.InferRequestedOutput(tensor.name, binary_data=binary, class_count=2))
    body, json_bytes = client.InferenceServerClient.generate_request_body(
        inputs, outputs=outputs, request_id=request_id, priority=1, timeout=5, parameters={"p": "q"}
    )
    request = decode(body, json_bytes, "m", "1")
    assert request.id == request_id
    assert request.parameters == {"priority": 1, "timeout": 5, "p": "q"}
    assert [output.classification for output in request.outputs] == [2] * len(pairs)
    for got, (sent, _) in zip(request.inputs, pairs, strict=True):
        assert (got.name, got.datatype, got.missing) == (sent.name, sent.datatype, None)
        assert same(got.array, sent.array)


@QUIET
@given(named_tensors(), st.text(max_size=9))
def test_response_is_read_by_tritonclient_as_the_same_tensors(pairs, request_id):
    outputs = [RequestedOutput(t.name, parameters={"binary_data": binary}) for t, binary in pairs]
    request = InferRequest("m", "", [], id=request_id, outputs=outputs)
    encoded = encode(request, InferResponse("m", "1", [tensor for tensor, _ in pairs]))
    result = client.InferenceServerClient.parse_response_body(
        b"".join(encoded.parts), header_length=encoded.json_bytes
    )
    assert result.get_response().get("id", "") == request_id
    for sent, binary in pairs:
        got = result.as_numpy(sent.name)
        if sent.datatype == "BYTES" and not binary:
            got = np.array([text.encode() for text in got.ravel()], object).reshape(got.shape)
        assert same(got, sent.array)


@QUIET
@given(named_tensors())
def test_encoded_outputs_are_decoded_as_inputs_to_the_same_tensors(pairs):
    outputs = [RequestedOutput(t.name, parameters={"binary_data": binary}) for t, binary in pairs]
    encoded = encode(
        InferRequest("m", "", [], outputs=outputs),
        InferResponse("m", "1", [tensor for tensor, _ in pairs]),
    )
    # An answer becomes a request by one key: its outputs are written as inputs are.
    head = bytes(encoded.parts[0]).replace(b'"outputs":', b'"inputs":', 1)
    tail = b"".join(encoded.parts[1:])
    request = decode(head + tail, len(head), "m", "")
    for got, (sent, _) in zip(request.inputs, pairs, strict=True):
        assert (got.name, got.datatype) == (sent.name, sent.datatype)
        assert same(got.array, sent.array)
