"""Holding a batch against what compiled code takes, because compiled code does not.

AOTInductor's code reads memory by the shapes it was compiled for. An array that is shorter is read
past its end, so nothing reaches it unlooked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve.backends.pt2_file import Pt2Signature, Pt2Tensor
from serve.errors import BackendError
from serve.tensors import DATATYPES, Array, TensorSpec

__all__ = ["InputCheck", "signature_of_specs"]


class InputCheck:
    """Called with a batch's arrays; costs about a microsecond an input."""

    __slots__ = ("_inputs", "_ranges")

    def __init__(self, signature: Pt2Signature) -> None:
        self._inputs = [
            (tensor.name, DATATYPES[tensor.datatype].dtype, tensor.shape)
            for tensor in signature.inputs
        ]
        self._ranges = signature.ranges

    def __call__(self, arrays: Sequence[Array]) -> None:
        """Raises BackendError, with the input's name, if one does not fit."""
        sizes: dict[str, int] = {}
        for (name, dtype, shape), array in zip(self._inputs, arrays, strict=True):
            if array.dtype != dtype or array.ndim != len(shape):
                raise BackendError(
                    f"input {name!r} is {array.dtype} of shape {list(array.shape)}, but the"
                    f" program takes {dtype} of shape {list(shape)}"
                )
            for size, wanted in zip(array.shape, shape, strict=True):
                if isinstance(wanted, str):
                    wanted = sizes.setdefault(wanted, size)
                if size != wanted:
                    raise BackendError(
                        f"input {name!r} has shape {list(array.shape)}, but the program takes"
                        f" {list(shape)}{_known(sizes)}"
                    )
        for word, (low, high) in self._ranges.items():
            size = sizes.get(word, low)
            if size < low or (high is not None and size > high):
                raise BackendError(
                    f"dimension {word!r} is {size}, but the program takes {low} to"
                    f" {'any number' if high is None else high}"
                )


def signature_of_specs(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Pt2Signature:
    """For a program that does not say: as model.yaml declares it, each -1 on its own, save that
    all first ones are the batch."""

    def tensor(spec: TensorSpec) -> Pt2Tensor:
        shape = tuple(
            ("batch" if axis == 0 else f"{spec.name}_{axis}") if size == -1 else size
            for axis, size in enumerate(spec.shape)
        )
        return Pt2Tensor(name=spec.name, datatype=spec.datatype, shape=shape)

    return Pt2Signature(inputs=tuple(map(tensor, inputs)), outputs=tuple(map(tensor, outputs)))


def _known(sizes: dict[str, int]) -> str:
    return f" ({', '.join(f'{word} is {size}' for word, size in sizes.items())})" if sizes else ""
