"""Requests to one model that were received together, decoded together where they are alike.

Most traffic is one row a request, all of the same form. Then each input of all of them is made
one array at once, which costs little more than that of a single request does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from serve.errors import InvalidRequest, PenstockError
from serve.protocol.http_request import Body, from_message
from serve.protocol.json_data import array_from_json
from serve.protocol.json_frame import FrameMemory
from serve.protocol.json_message import RequestMessage, parse_request, parse_small
from serve.tensors import InferRequest, RequestBlock, Tensor

__all__ = ["Turn", "decode_turn"]

Form = tuple[tuple[type, str, tuple[int, ...], int], ...]
"""Of each input: what says its datatype, its name, its shape, and how long its ``data`` is."""

_NO_BYTES = memoryview(b"")


class Turn(NamedTuple):
    """What became of each body, told by its index: ``members`` are those of the block."""

    block: RequestBlock | None
    members: list[int]
    others: list[tuple[int, InferRequest | PenstockError]]
    binary_outputs: bool = False
    """Whether the block's requests want their outputs as binary."""


def decode_turn(
    bodies: Sequence[Body], model_name: str, model_version: str, frames: FrameMemory
) -> Turn:
    """Decode bodies that are JSON alone. Never raises: a request that is wrong is so by itself."""
    several = len(bodies) > 1  # one body is parsed as quickly as it is recalled
    frame = frames.recall(bodies[0]) if several else None
    tensors = None if frame is None else frame.tensors(bodies)
    if frame is not None and tensors is not None:
        requests = [InferRequest(model_name, model_version, []) for _ in bodies]
        return Turn(RequestBlock(requests, tensors, frame.rows), list(range(len(bodies))), [])
    others: list[tuple[int, InferRequest | PenstockError]] = []
    indexes, messages = _parse_each(bodies, others)
    forms = [_form(message) for message in messages]
    common = next((form for form in forms if form is not None), None)
    members, alike = indexes, messages
    rest: list[tuple[int, RequestMessage]] = []
    if forms.count(common) < len(forms):
        found = list(zip(indexes, messages, forms, strict=True))
        members = [index for index, _, form in found if form == common]
        alike = [message for _, message, form in found if form == common]
        rest = [(index, message) for index, message, form in found if form != common]
    block = None
    if common is not None:
        try:
            block = _block(alike, common, model_name, model_version)
            if several:
                frames.learn(bodies[members[0]], alike[0])
        except InvalidRequest:  # one of them, or all: each is told for itself
            rest += zip(members, alike, strict=True)
            members = []
    else:
        rest = list(zip(indexes, messages, strict=True))
        members = []
    for index, message in rest:
        try:
            others.append((index, from_message(message, _NO_BYTES, model_name, model_version)))
        except PenstockError as error:
            others.append((index, error))
    return Turn(block, members, others)


def _parse_each(
    bodies: Sequence[Body], others: list[tuple[int, InferRequest | PenstockError]]
) -> tuple[list[int], list[RequestMessage]]:
    """Messages and their indexes; bodies that are none go to ``others``."""
    indexes, messages = [], []
    for index, body in enumerate(bodies):
        try:
            message = parse_small(body)
        except Exception:  # noqa: BLE001 - whatever it is, it is put into words
            try:
                message = parse_request(body)
            except PenstockError as error:
                others.append((index, error))
                continue
        messages.append(message)
        indexes.append(index)
    return indexes, messages


def _form(message: RequestMessage) -> Form | None:
    """What requests of a block have in common; None for one that asks for anything special."""
    if message.parameters or message.outputs:
        return None
    form = []
    rows = -1
    for item in message.inputs:
        shape, data = item.shape, item.data
        if item.parameters is not None or type(data) is not list or not shape:
            return None
        if rows < 0:
            rows = shape[0]
        elif shape[0] != rows:
            return None  # rows that are not the same in all inputs
        form.append((type(item), item.name, shape, len(data)))
    return tuple(form)


def _block(
    messages: list[RequestMessage], form: Form, model_name: str, model_version: str
) -> RequestBlock:
    """Put the data of all one behind the other, along the first dimension.

    Raises:
        InvalidRequest: the data of one of them does not fit, or the form is no request's.
    """
    names = {name for _, name, _, _ in form}
    if not form or len(names) != len(form):
        raise InvalidRequest("inputs: none, or two of the same name")
    count = len(messages)
    tensors = []
    for index, (kind, name, shape, length) in enumerate(form):
        flat: list[Any] = []
        for message in messages:
            flat += message.inputs[index].data
        whole = (shape[0] * count, *shape[1:])
        # Every one of them brings its own share, so that none can reach into its neighbour's.
        if length != shape[0] and length * count != prod(whole):
            raise InvalidRequest(f"{name}: not the elements of its shape")
        datatype = kind.datatype  # type: ignore[attr-defined]
        array, missing = array_from_json(name, datatype, whole, flat)
        tensors.append(Tensor(name, datatype, array, missing))
    requests = [
        InferRequest(model_name, model_version, [], message.id or "") for message in messages
    ]
    return RequestBlock(requests, tensors, form[0][2][0])
