"""What became of the requests of a turn, in a form that can be compared."""

from __future__ import annotations

from typing import Any

from serve.errors import PenstockError
from serve.protocol.http_request import decode
from serve.protocol.http_turn import Turn
from serve.tensors import InferRequest

__all__ = ["alone", "outcomes", "told"]


def outcomes(turn: Turn, count: int) -> list[InferRequest | PenstockError]:
    """Every request of a turn by its index."""
    found = dict(turn.others)
    if turn.block is not None:
        found |= zip(turn.members, turn.block.split(), strict=True)
    return [found[index] for index in range(count)]


def told(outcome: InferRequest | PenstockError) -> Any:
    """What can be compared of a request or an error."""
    if isinstance(outcome, PenstockError):
        return type(outcome), str(outcome)
    tensors = [
        (
            tensor.name,
            tensor.datatype,
            tensor.array.shape,
            tensor.array.tolist(),
            None if tensor.missing is None else tensor.missing.tolist(),
        )
        for tensor in outcome.inputs
    ]
    return outcome.id, outcome.parameters, outcome.outputs, tensors


def alone(one: bytes, json_bytes: int | None = None) -> InferRequest | PenstockError:
    """What a body gives when it is decoded by itself."""
    try:
        return decode(one, json_bytes, "m", "")
    except PenstockError as error:
        return error
