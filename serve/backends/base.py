"""What a backend is: the one interface between the server and a runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serve.config import ModelConfig
from serve.tensors import Array, Batch, Signature

__all__ = ["Backend", "BackendSource"]


@dataclass(frozen=True, slots=True)
class BackendSource:
    """Where a version comes from: its model's folder and settings, and its artefact.

    ``verified``: a manifest, or whoever made the artefact a moment ago, vouches for its contents.
    """

    model_name: str
    version: int
    folder: Path
    artefact: Path
    config: ModelConfig
    verified: bool = False


class Backend(Protocol):
    """Runs one version of one model.

    ``load`` and ``close`` are called once, in a worker thread, and may block. ``run`` may be
    called from any thread, by up to ``resources.instances`` threads at once; it owns nothing of
    the batch afterwards and must not write to its arrays, which may be views of network buffers.
    """

    def load(self, source: BackendSource) -> Signature:
        """Load the artefact and return its signature.

        Raises:
            RepositoryError: the artefact or a setting is wrong; names file, field and remedy.
        """

    def run(self, batch: Batch) -> list[Array]:
        """Run one batch and return the outputs in the signature's order.

        BYTES arrays come in as object arrays of ``bytes``; they may go out as object arrays of
        ``bytes`` or ``str``. Any exception fails this batch alone.
        """

    def platform(self) -> str:
        """The protocol's ``platform``, e.g. ``onnxruntime_onnx``."""

    def close(self) -> None:
        """Release everything. No ``run`` is under way and none follows."""
