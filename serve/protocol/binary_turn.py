"""Requests with binary tensors that were received together, decoded together where they are alike.

Alike are those with the same inputs in the same shapes. Their headers may differ all the same, in
the identifier and in how many bytes the strings take: what a header says is remembered, so that
nearly none is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from math import prod
from typing import NamedTuple

import numpy as np
from msgspec import UNSET

from serve.errors import InvalidRequest, PenstockError
from serve.protocol.binary_data import array_from_bytes
from serve.protocol.http_request import Body, decode
from serve.protocol.http_turn import Turn
from serve.protocol.json_message import InputMessage, parse_request
from serve.protocol.shape import check_shape
from serve.tensors import DATATYPES, InferRequest, RequestBlock, Tensor

__all__ = ["BinaryForm", "BinaryHead", "binary_head", "decode_binary_turn"]

MAX_REMEMBERED_BYTES = 4096
"""Longer headers are parsed each time, so that what is remembered stays small."""

Inputs = tuple[tuple[str, str, tuple[int, ...]], ...]


class BinaryForm:
    """What requests of a block have in common: name, datatype and shape of each input.

    There is one object of each form, so that forms are compared by identity.
    """

    __slots__ = ("binary_outputs", "inputs")

    def __init__(self, inputs: Inputs, binary_outputs: bool) -> None:
        self.inputs = inputs
        self.binary_outputs = binary_outputs


class BinaryHead(NamedTuple):
    """What the JSON in front of binary tensors says."""

    form: BinaryForm
    bounds: tuple[int, ...]
    """Where each input's bytes begin in the body, and where the last ends."""
    request_id: str


def binary_head(header: bytes, body_bytes: int) -> BinaryHead | None:
    """What ``header`` says of a body that begins with it and has ``body_bytes`` in all.

    None: it is wrong, or asks for something that a block does not offer.
    """
    known = _remembered if len(header) <= MAX_REMEMBERED_BYTES else _read
    head = known(header)
    return head if head is not None and head.bounds[-1] == body_bytes else None


def _read(header: bytes) -> BinaryHead | None:
    try:
        message = parse_request(header)
    except PenstockError:
        return None
    asked = message.parameters or {}
    if message.outputs or not message.inputs or asked.keys() - {"binary_data_output"}:
        return None
    binary_outputs = asked.get("binary_data_output", False)
    if type(binary_outputs) is not bool:
        return None
    sizes = []
    for item in message.inputs:
        size = _size(item)
        if size is None or item.shape[0] != message.inputs[0].shape[0]:
            return None
        sizes.append(size)
    inputs = tuple((item.name, item.datatype, item.shape) for item in message.inputs)
    if len({name for name, _, _ in inputs}) < len(inputs):
        return None
    bounds = tuple(accumulate(sizes, initial=len(header)))
    return BinaryHead(_form(inputs, binary_outputs), bounds, message.id or "")


_remembered = lru_cache(maxsize=1024)(_read)
_form = lru_cache(maxsize=256)(BinaryForm)


def _size(item: InputMessage) -> int | None:
    """How many bytes it has behind the JSON; None where it has none, or not those of its shape."""
    given = item.parameters or {}
    size = given.get("binary_data_size")
    if type(size) is not int or len(given) > 1 or item.data is not UNSET or not item.shape:
        return None
    try:
        count = check_shape(item.name, item.shape)
    except InvalidRequest:
        return None
    if item.datatype == "BYTES":
        return size if size >= 0 else None
    return size if size == count * DATATYPES[item.datatype].itemsize else None


def decode_binary_turn(
    heads: Sequence[BinaryHead], bodies: Sequence[Body], model_name: str, model_version: str
) -> Turn:
    """Decode bodies whose ``heads`` have one form.

    Never raises: a request that is wrong is so by itself.
    """
    form = heads[0].form
    try:
        block = _block(form, heads, bodies, model_name, model_version)
    except InvalidRequest:  # one of them, or all: each is told for itself
        others: list[tuple[int, InferRequest | PenstockError]] = []
        for index, (head, body) in enumerate(zip(heads, bodies, strict=True)):
            try:
                others.append((index, decode(body, head.bounds[0], model_name, model_version)))
            except PenstockError as error:
                others.append((index, error))
        return Turn(None, [], others)
    return Turn(block, list(range(len(bodies))), [], form.binary_outputs)


def _block(
    form: BinaryForm,
    heads: Sequence[BinaryHead],
    bodies: Sequence[Body],
    model_name: str,
    model_version: str,
) -> RequestBlock:
    count = len(bodies)
    bounds = [head.bounds for head in heads]
    tensors = []
    for index, (name, datatype, shape) in enumerate(form.inputs):
        parts = [
            body[bound[index] : bound[index + 1]]
            for body, bound in zip(bodies, bounds, strict=True)
        ]
        whole = (shape[0] * count, *shape[1:])
        if datatype != "BYTES":
            array = array_from_bytes(name, datatype, whole, memoryview(b"".join(parts)))
        elif prod(shape) == 1:
            array = np.array([_element(part) for part in parts], dtype=object).reshape(whole)
        else:
            each = [array_from_bytes(name, datatype, shape, memoryview(part)) for part in parts]
            array = np.concatenate(each)
        tensors.append(Tensor(name, datatype, array))
    # Told to whoever renders such a request by itself.
    parameters = {"binary_data_output": True} if form.binary_outputs else None
    requests = [
        InferRequest(model_name, model_version, [], head.request_id, parameters=parameters)
        for head in heads
    ]
    return RequestBlock(requests, tensors, form.inputs[0][2][0])


def _element(part: Body) -> bytes:
    """The one BYTES element in ``part``.

    Raises:
        InvalidRequest: its length is not what is before it; who it concerns is told elsewhere.
    """
    if len(part) < 4 or int.from_bytes(part[:4], "little") != len(part) - 4:
        raise InvalidRequest("not one BYTES element")
    return bytes(part[4:])
