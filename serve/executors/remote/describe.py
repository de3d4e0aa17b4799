"""What an engine says of the version that it serves."""

from __future__ import annotations

import hashlib
from pathlib import Path

from serve.executors.loader import Prepared
from serve.executors.remote.messages import Description, tensors_of
from serve.repository.manifest import MANIFEST

__all__ = ["describe", "digest_of"]

READ_BYTES = 1 << 20


def describe(prepared: Prepared, replica: str, digest: str, queue: int) -> Description:
    """What a gateway has to know of a prepared version."""
    source, signature = prepared.source, prepared.signature
    return Description(
        replica=replica,
        model=source.model_name,
        version=str(source.version),
        digest=digest,
        backend=prepared.backend_name,
        platform=prepared.backend.platform(),
        slots=source.config.resources.instances,
        queue=queue,
        max_batch_rows=prepared.max_batch_rows,
        batched=signature.batched,
        inputs=tensors_of(signature.inputs),
        outputs=tensors_of(signature.outputs),
        profile=prepared.profile,
    )


def digest_of(artefact: Path) -> str:
    """SHA-256 of what is served: of the manifest, which has those of all files, or the artefact.

    Blocks while the file is read.
    """
    manifest = artefact.with_name(MANIFEST)
    digest = hashlib.sha256()
    with (manifest if manifest.exists() else artefact).open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
