"""What an engine says of the version that it serves."""

from __future__ import annotations

from serve.executors.loader import Prepared
from serve.executors.remote.messages import Description, tensors_of

__all__ = ["describe"]


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
