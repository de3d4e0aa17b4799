"""The two ways of calling a session: with a dictionary of arrays, or with bound memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from serve.backends.onnx_types import ELEMENT_TYPE
from serve.tensors import DATATYPES, Array, Signature

__all__ = ["BoundRun", "PlainRun", "SessionRun", "session_run"]

SessionRun = Callable[[Sequence[Array], Any], list[Array]]
"""Takes inputs and run options (or None), gives outputs, both in the signature's order."""


def session_run(session: Any, signature: Signature, on_cpu: bool) -> SessionRun:
    """The way for this model: bound for BF16 and on a GPU, plain for strings and on the CPU.

    Raises:
        ValueError: BF16 needs binding and strings cannot be bound; the model has both.
    """
    datatypes = {spec.datatype for spec in (*signature.inputs, *signature.outputs)}
    if {"BF16", "BYTES"} <= datatypes:
        raise ValueError("has both BF16 and string tensors, which the runtime cannot take together")
    if "BF16" in datatypes or not (on_cpu or "BYTES" in datatypes):
        return BoundRun(session, signature)
    return PlainRun(session, signature)


class PlainRun:
    """``session.run`` and as little as possible around it."""

    def __init__(self, session: Any, signature: Signature) -> None:
        self._run = session.run
        self._inputs = [spec.name for spec in signature.inputs]
        self._outputs = [spec.name for spec in signature.outputs]
        self._text = [i for i, spec in enumerate(signature.inputs) if spec.datatype == "BYTES"]

    def __call__(self, arrays: Sequence[Array], run_options: Any) -> list[Array]:
        """Run one batch."""
        feed = dict(zip(self._inputs, arrays, strict=True))
        for index in self._text:
            feed[self._inputs[index]] = _text(arrays[index])
        outputs: list[Array] = self._run(self._outputs, feed, run_options)
        return outputs


class BoundRun:
    """A run with inputs and outputs bound to memory, for what numpy or a GPU needs.

    Inputs are bound where they lie, in host memory; on a GPU the runtime copies them to the
    device as they are bound, and the outputs to host memory as the run ends. Each run makes a
    binding of its own, so that threads share nothing.
    """

    def __init__(self, session: Any, signature: Signature) -> None:
        self._session = session
        self._inputs = [(spec.name, ELEMENT_TYPE[spec.datatype]) for spec in signature.inputs]
        self._outputs = [(spec.name, spec.datatype) for spec in signature.outputs]

    def __call__(self, arrays: Sequence[Array], run_options: Any) -> list[Array]:
        """Run one batch."""
        binding = self._session.io_binding()
        # The runtime keeps only the addresses: these must live until the run ends.
        held = [np.asarray(array, order="C") for array in arrays]
        for (name, element_type), array in zip(self._inputs, held, strict=True):
            binding.bind_input(name, "cpu", 0, element_type, array.shape, array.ctypes.data)
        for name, _ in self._outputs:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding, run_options)
        return [
            _to_numpy(value, datatype)
            for value, (_, datatype) in zip(binding.get_outputs(), self._outputs, strict=True)
        ]


def _text(array: Array) -> Array:
    """``bytes`` decoded to ``str``, which is what the runtime takes for strings.

    Invalid UTF-8 is to be refused request by request before it comes here; what still comes is
    replaced, because an error would answer every request of the batch.
    """
    text = np.empty(array.size, object)
    text[:] = [item.decode("utf-8", "replace") for item in array.ravel().tolist()]
    return text.reshape(array.shape)


def _to_numpy(value: Any, datatype: str) -> Array:
    if datatype != "BF16":
        array: Array = value.numpy()
        return array
    # The runtime has no numpy form of BF16, so its bytes are copied from where they lie.
    shape, size = value.shape(), value.tensor_size_in_bytes()
    dtype = DATATYPES[datatype].dtype
    if size == 0:
        return np.empty(shape, dtype)
    return np.frombuffer(ctypes.string_at(value.data_ptr(), size), dtype).reshape(shape)
