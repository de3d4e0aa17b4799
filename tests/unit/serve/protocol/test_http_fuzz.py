"""Whatever bytes arrive, the answer is a request or one of our own errors, never another."""

import contextlib
import json
import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from serve.errors import PenstockError
from serve.protocol.http_request import decode, decode_raw, parse_json_bytes
from serve.tensors import DATATYPES, InferRequest, Signature, TensorSpec

FUZZ = settings(max_examples=400, deadline=None, database=None)

TAIL = b"\1\0\0\0a\2\0\0\0bc" + bytes(13)
VALID = {
    "id": "7",
    "parameters": {"binary_data_output": True, "timeout": 10},
    "inputs": [
        {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [[1, 2.5], [None, 4]]},
        {"name": "b", "shape": [3], "datatype": "INT8", "data": [1, -2, 3]},
        {"name": "c", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
        {"name": "d", "shape": [2], "datatype": "BOOL", "data": [True, False]},
        {"name": "e", "shape": [1, 2], "datatype": "BYTES", "data": ["é", None]},
        {"name": "f", "shape": [13], "datatype": "UINT8", "parameters": {"binary_data_size": 13}},
    ],
    "outputs": [{"name": "y", "parameters": {"binary_data": True, "classification": 3}}],
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from([*DATATYPES, "shared_memory_region", "triton_", -1, 2**63, 1e39, 0]),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "shape", "data", "binary_data_size"]), inner)
    ),
    max_leaves=8,
)


def attempt(body: bytes, json_bytes: int | None) -> InferRequest | None:
    """Decode, and touch all that came of it."""
    try:
        request = decode(body, json_bytes, "m", "")
    except PenstockError as error:
        assert len(str(error)) < 1000
        return None
    for tensor in request.inputs:
        assert tensor.array.dtype == DATATYPES[tensor.datatype].dtype
        assert tensor.missing is None or tensor.missing.shape == tensor.array.shape
        tensor.array.tolist()
    return request


def places(value: object) -> list[tuple[object, object]]:
    """Every (container, key) of a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    found = []
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found.extend(places(value[key]))
    return found


def test_the_request_that_is_mutated_is_valid():
    head = json.dumps(VALID).encode()
    assert len(attempt(head + TAIL, len(head)).inputs) == 6


@FUZZ
@given(st.binary(max_size=300), st.none() | st.integers(0, 300))
def test_random_bytes_give_a_request_or_our_error(body, json_bytes):
    attempt(body, json_bytes)


@FUZZ
@given(values)
def test_random_json_gives_a_request_or_our_error(value):
    attempt(json.dumps(value).encode(), None)


@FUZZ
@given(st.randoms(use_true_random=False), st.lists(values, min_size=1, max_size=3))
@example(random.Random(0), [None])
def test_mutated_json_gives_a_request_or_our_error(rng, replacements):
    request = json.loads(json.dumps(VALID))
    for replacement in replacements:
        container, key = rng.choice(places(request))
        action = rng.randrange(3)
        if action == 0:
            container[key] = replacement
        elif action == 1:
            del container[key]
        elif isinstance(container, list):
            container.insert(key, container[key])
        if not request:
            break
    head = json.dumps(request).encode()
    attempt(head + TAIL, len(head))


@FUZZ
@given(
    st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=0, max_size=3)), min_size=1, max_size=4),
    st.integers(-20, 20),
)
def test_mutated_bytes_give_a_request_or_our_error(edits, shift):
    head = json.dumps(VALID).encode()
    body = bytearray(head + TAIL)
    for place, replacement in edits:
        start = int(place * len(body))
        body[start : start + 1] = replacement
    attempt(bytes(body), max(0, len(head) + shift))
    attempt(bytes(body), None)


@FUZZ
@given(
    st.binary(max_size=64),
    st.sampled_from(sorted(DATATYPES)),
    st.lists(st.integers(-1, 4), min_size=1, max_size=4),
    st.booleans(),
)
def test_raw_body_gives_a_request_or_our_error(body, datatype, shape, batched):
    if batched:
        shape[0] = -1
    spec = TensorSpec("x", datatype, tuple(shape))
    try:
        request = decode_raw(body, "m", "", Signature((spec,), (), batched))
    except PenstockError:
        return
    assert request.inputs[0].array.ndim == len(shape)


@FUZZ
@given(st.binary(max_size=30), st.integers(0, 1000))
def test_header_value_gives_a_length_within_the_body_or_our_error(value, body_bytes):
    with contextlib.suppress(PenstockError):
        assert 0 <= parse_json_bytes(value, body_bytes) <= body_bytes
