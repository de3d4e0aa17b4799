"""A candidate as the server would run it: through ``serve.backends``, on decoded arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from optimize.sidecar import tokenizer_of
from serve.backends.base import BackendSource
from serve.backends.output_check import check_outputs
from serve.backends.registry import create_backend
from serve.backends.text import taking_text
from serve.config import ModelConfig, Resources, Tokenizer
from serve.config.model import GraphOptimization
from serve.tensors import Array, Batch

__all__ = ["ServedModel", "serve_on"]

_device = "cpu"


def serve_on(device: str) -> None:
    """Set the device of every candidate in this process; a step's process does so once, first."""
    global _device
    _device = device


class ServedModel:
    """One artefact, loaded by its backend with ``threads`` threads; close it after use.

    It takes text where a tokenizer lies beside it, or where ``tokenizer`` names one.
    """

    def __init__(
        self,
        path: Path,
        threads: int = 1,
        graph_level: GraphOptimization = "all",
        tokenizer: Tokenizer | None = None,
    ) -> None:
        resources = Resources(
            device=_device, intra_op_threads=threads, graph_optimization=graph_level
        )
        tokenizer = tokenizer or tokenizer_of(path.parent)
        kind = "torch" if path.suffix == ".pt2" else "onnxruntime"
        config = ModelConfig(backend=kind, resources=resources, tokenizer=tokenizer)
        self._backend = taking_text(create_backend(kind), config)
        # A step of this run, or a version whose checksums were just compared, is its own voucher.
        source = BackendSource("candidate", 1, path.parent, path, config, verified=True)
        self.signature = self._backend.load(source)

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.close()

    def batch(self, arrays: Mapping[str, Array]) -> Batch:
        """Arrays by input name as the batch that ``run`` takes."""
        inputs = tuple(arrays[spec.name] for spec in self.signature.inputs)
        return Batch(inputs, len(inputs[0]))

    def run(self, batch: Batch) -> list[Array]:
        """One batch, with no check of the outputs: what is timed."""
        return self._backend.run(batch)

    def answer(self, arrays: Mapping[str, Array], batch_rows: int = 256) -> dict[str, Array]:
        """The outputs for all rows, run in batches, by name.

        Raises:
            BackendError: the runtime failed, or an output is not what the signature says.
        """
        rows = len(next(iter(arrays.values())))
        parts = []
        for start in range(0, rows, batch_rows):
            piece = {name: array[start : start + batch_rows] for name, array in arrays.items()}
            batch = self.batch(piece)
            parts.append(check_outputs(self.signature, self.run(batch), batch.rows))
        return {
            spec.name: np.concatenate([part[index] for part in parts])
            for index, spec in enumerate(self.signature.outputs)
        }
