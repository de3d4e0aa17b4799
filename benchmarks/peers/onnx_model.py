"""The model as every peer serves it: one ONNX Runtime session, one thread.

Runs in the peers' environments, so it imports nothing but numpy and onnxruntime. One thread for
each session, because a batch takes microseconds and processes share the two cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

__all__ = ["DTYPES", "OnnxModel"]

DTYPES: Mapping[str, type] = {"tensor(float)": np.float32, "tensor(string)": np.object_}

Tensors = dict[str, npt.NDArray[Any]]


class OnnxModel:
    """Every input and output is [batch, width]."""

    def __init__(self, path: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {
            node.name: (DTYPES[node.type], int(node.shape[1]))
            for node in self._session.get_inputs()
        }
        """Type and width of each input, in the order of the graph."""
        self.outputs = [node.name for node in self._session.get_outputs()]

    def run(self, feeds: Mapping[str, npt.NDArray[Any]]) -> Tensors:
        """One batch of tensors."""
        return dict(zip(self.outputs, self._session.run(None, dict(feeds)), strict=True))

    def predict(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One batch of JSON objects: a number, a string or a list for each input.

        Answers have one number for each output.
        """
        feeds: Tensors = {
            name: np.array([record[name] for record in records], dtype).reshape(-1, width)
            for name, (dtype, width) in self.inputs.items()
        }
        answers = {name: values.ravel().tolist() for name, values in self.run(feeds).items()}
        return [
            {name: values[row] for name, values in answers.items()} for row in range(len(records))
        ]
