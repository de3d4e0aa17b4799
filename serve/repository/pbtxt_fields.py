"""Which fields of a Triton model configuration are honoured, refused, or merely noted.

A generic walk over what a message sets looks each field up here, so that a field nobody thought
of is noted, never silently dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["REFUSED", "refused_fields", "unhonoured_fields"]

HONOURED = frozenset(
    {
        "name",
        "platform",
        "backend",
        "max_batch_size",
        "default_model_filename",
        "version_policy.latest.num_versions",
        "version_policy.all",
        "version_policy.specific.versions",
        "input.name",
        "input.data_type",
        "input.dims",
        "output.name",
        "output.data_type",
        "output.dims",
        "output.label_filename",
        "dynamic_batching.preferred_batch_size",
        "dynamic_batching.max_queue_delay_microseconds",
        "dynamic_batching.default_queue_policy.default_timeout_microseconds",
        "dynamic_batching.default_queue_policy.max_queue_size",
        "dynamic_batching.default_queue_policy.allow_timeout_override",
        "instance_group.name",
        "instance_group.count",
        "instance_group.kind",
        "instance_group.gpus",
        "model_warmup.name",
        "model_warmup.batch_size",
        "parameters",
        "response_cache.enable",
    }
)

_RESHAPE = "remove it and declare the shape that the model itself has"
_TENSORRT = "remove it; it is for TensorRT plans, which are not served here"

REFUSED: Mapping[str, str] = {
    "sequence_batching": "make the model stateless: pass the state as inputs and outputs",
    "ensemble_scheduling": "export the steps as one ONNX model, or call them from a model.py",
    "model_transaction_policy.decoupled": "answer each request once; decoupled is not offered",
    "batch_input": "compute it inside the model",
    "batch_output": "compute it inside the model",
    "input.allow_ragged_batch": "pad the rows of a batch to one shape",
    "input.reshape": _RESHAPE,
    "output.reshape": _RESHAPE,
    "input.is_shape_tensor": _TENSORRT,
    "output.is_shape_tensor": _TENSORRT,
    "input.is_non_linear_format_io": _TENSORRT,
    "output.is_non_linear_format_io": _TENSORRT,
}
"""Field to remedy: what would give other answers if it were ignored."""


def refused_fields(message: Any) -> list[str]:
    """The fields set in ``message`` that make it impossible to serve, in the file's terms."""
    return [path for path in _walk(message) if path in REFUSED]


def unhonoured_fields(message: Any) -> list[str]:
    """The fields set in ``message`` that have no effect here, each once, sorted."""
    return sorted({path for path in _walk(message) if path not in HONOURED | REFUSED.keys()})


def _is_group(path: str) -> bool:
    """Whether the tables tell the fields inside ``path`` apart."""
    return any(known.startswith(f"{path}.") for known in (*HONOURED, *REFUSED))


def _walk(message: Any, prefix: str = "") -> Iterator[str]:
    """Paths of the fields that are set, as deep as the tables go and one level more."""
    for descriptor, value in message.ListFields():
        path = f"{prefix}{descriptor.name}"
        if descriptor.message_type is None or path in HONOURED or path in REFUSED:
            yield path
        elif _is_group(path):
            many = hasattr(value, "__len__")
            for item in value if many else (value,):
                yield from _walk(item, f"{path}.")
        elif hasattr(value, "__len__"):
            yield path
        else:
            # A group of its own: naming what is set inside tells more than its name alone,
            # and one with nothing set asks for nothing.
            yield from (f"{path}.{inner.name}" for inner, _ in value.ListFields())
