"""A request against the model's signature: what may be queued, and in which form.

Everything here happens before a request is queued, so that a bad one costs nobody else anything.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serve.config import InputConfig, ModelConfig
from serve.errors import InvalidRequest, RepositoryError
from serve.tensors import DATATYPES, Array, RequestBlock, Signature, Tensor, TensorSpec

__all__ = ["Bound", "Validator"]

Bound = tuple[tuple[Array, ...], int, Hashable]
"""Arrays in the signature's order, their rows, and what must be equal to share a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class _Input:
    """What a request is checked against for one input."""

    index: int
    spec: TensorSpec
    datatype: str
    inner: tuple[int, ...]
    variable: bool
    fill: Any
    low: float | None
    high: float | None
    ranged: bool
    text: bool
    checked: bool
    """Whether its elements are looked at, one by one."""


class Validator:
    """Checks and completes the inputs of requests to one model version.

    ``utf8``: the backend takes BYTES as text, so other bytes are refused.

    Raises:
        RepositoryError: a default of ``model.yaml`` does not fit its input's datatype.
    """

    def __init__(
        self, signature: Signature, config: ModelConfig, max_batch_rows: int, *, utf8: bool
    ) -> None:
        self._batched = signature.batched
        self._max_rows = max_batch_rows
        self._inputs: dict[str, _Input] = {}
        for index, spec in enumerate(signature.inputs):
            settings = config.inputs.get(spec.name, InputConfig())
            low, high = settings.range or (None, None)
            inner = spec.shape[1:] if signature.batched else spec.shape
            self._inputs[spec.name] = _Input(
                index,
                spec,
                spec.datatype,
                inner,
                -1 in inner,
                _fill_value(spec, settings),
                low,
                high,
                settings.range is not None,
                text := utf8 and spec.datatype == "BYTES",
                text or settings.range is not None,
            )
        self._count = len(self._inputs)
        self._variable = any(known.variable for known in self._inputs.values())

    def bind(self, inputs: Sequence[Tensor]) -> Bound:
        """Give the arrays to run, of the inputs of one request.

        Raises:
            InvalidRequest: names the input, what is wrong, and what it should be.
        """
        return self._bind(inputs, self._max_rows)

    def bind_block(self, block: RequestBlock) -> Bound | None:
        """Give the arrays of a whole block; None: look at each request by itself."""
        if not self._batched or block.rows > self._max_rows:
            return None
        try:
            return self._bind(block.inputs, block.rows * len(block.requests))
        except InvalidRequest:
            return None

    def _bind(self, inputs: Sequence[Tensor], max_rows: int) -> Bound:
        arrays: list[Any] = [None] * self._count
        rows = 0 if self._batched else 1
        for tensor in inputs:
            known = self._inputs.get(tensor.name)
            if known is None:
                raise self._unknown(tensor.name)
            if tensor.datatype != known.datatype:
                raise InvalidRequest(
                    f"input '{tensor.name}' has datatype {tensor.datatype}, the model expects"
                    f" {known.datatype}"
                )
            array = tensor.array
            shape = array.shape
            if self._batched:
                if shape[1:] != known.inner or not shape:
                    self._check_inner(tensor, known, shape)
                if rows and shape[0] != rows:
                    raise InvalidRequest(
                        f"input '{tensor.name}' has {shape[0]} rows, the inputs before it {rows}:"
                        " the first dimension must be the same in all"
                    )
                rows = shape[0]
                if not 0 < rows <= max_rows:
                    raise self._bad_rows(tensor, rows)
            elif shape != known.inner:
                self._check_inner(tensor, known, shape)
            if tensor.missing is not None:
                array = self._filled(tensor, known)
            if known.checked:
                if known.ranged:
                    _check_range(array, tensor, known)
                if known.text:
                    _check_text(array, tensor.name)
            arrays[known.index] = array
        if len(inputs) != self._count:
            rows = rows or 1
            self._complete(arrays, rows)
        group: Hashable = ()
        if self._variable:
            group = tuple(array.shape[1:] for array in arrays)
        return tuple(arrays), rows, group

    def _check_inner(self, tensor: Tensor, known: _Input, shape: tuple[int, ...]) -> None:
        """Compare with variable dimensions in mind; raises if it does not fit."""
        expected = known.spec.shape
        if len(shape) == len(expected) and all(
            want in (-1, have) for want, have in zip(expected, shape, strict=True)
        ):
            return
        raise InvalidRequest(
            f"input '{tensor.name}' has shape {_shown(shape)}, the model expects"
            f" {_shown(expected)}{' (-1: any)' if -1 in expected else ''}"
        )

    def _bad_rows(self, tensor: Tensor, rows: int) -> InvalidRequest:
        if rows == 0:
            return InvalidRequest(f"input '{tensor.name}' has no rows: send at least one")
        return InvalidRequest(
            f"input '{tensor.name}' has a batch of {rows} rows, the model takes at most"
            f" {self._max_rows}: split the request, or raise batching.max_batch_size"
        )

    def _unknown(self, name: str) -> InvalidRequest:
        names = ", ".join(list(self._inputs)[:20])
        return InvalidRequest(f"unexpected input '{name[:100]}': the model's inputs are {names}")

    def _filled(self, tensor: Tensor, known: _Input) -> Array:
        assert tensor.missing is not None
        if known.fill is None:
            raise InvalidRequest(
                f"input '{tensor.name}' has null elements, and the model has no default for it:"
                f" send values, or set inputs.{tensor.name}.default in model.yaml"
            )
        array = tensor.array.copy()
        array[tensor.missing] = known.fill
        return array

    def _complete(self, arrays: list[Any], rows: int) -> None:
        """Put defaults in place of inputs that were left out."""
        for name, known in self._inputs.items():
            if arrays[known.index] is not None:
                continue
            if known.fill is None:
                raise InvalidRequest(f"missing input '{name}': the model needs it")
            inner = [1 if size == -1 else size for size in known.inner]
            shape = [rows, *inner] if self._batched else inner
            arrays[known.index] = np.full(shape, known.fill, DATATYPES[known.spec.datatype].dtype)


def _check_range(array: Array, tensor: Tensor, known: _Input) -> None:
    """Refuse values outside, and NaN; elements that were null are the default's business."""
    bad = np.zeros(array.shape, bool)
    if known.low is not None:
        bad |= ~(array >= known.low)
    if known.high is not None:
        bad |= ~(array <= known.high)
    if tensor.missing is not None:
        bad &= ~tensor.missing
    if bad.any():
        place = np.unravel_index(int(bad.argmax()), bad.shape)
        raise InvalidRequest(
            f"input '{tensor.name}' has {array[place]} at {_shown(tuple(map(int, place)))}, the"
            f" model takes {_shown_range(known)}; leave the value out if it is not known"
        )


def _check_text(array: Array, name: str) -> None:
    try:
        for element in array.flat:
            if isinstance(element, bytes):
                element.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(
            f"input '{name}' has an element that is not UTF-8: the model takes text"
        ) from None


def _fill_value(spec: TensorSpec, settings: InputConfig) -> Any:
    """The default as an element of the input's dtype; None without one."""
    default = settings.default
    if default is None:
        return None
    try:
        if spec.datatype == "BYTES":
            if not isinstance(default, str):
                raise ValueError("a BYTES input takes a string")
            return default.encode()
        if isinstance(default, str):
            raise ValueError("a number is needed")
        return DATATYPES[spec.datatype].dtype.type(default)
    except (ValueError, OverflowError) as error:
        raise RepositoryError(
            path="model.yaml",
            field=f"inputs.{spec.name}.default",
            problem=f"{default!r} does not fit datatype {spec.datatype}: {error}",
            remedy="use a value of that datatype",
        ) from None


def _shown(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def _shown_range(known: _Input) -> str:
    if known.low is None:
        return f"at most {known.high}"
    return f"at least {known.low}" if known.high is None else f"{known.low} to {known.high}"
