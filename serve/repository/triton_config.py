"""What ``GET /v2/models/{name}/config`` answers: Triton's ModelConfig in its JSON form.

Names are those of the protobuf message, in snake case, and 64-bit integers are numbers, as
Triton prints them; ``google.protobuf.json_format`` reads the same dictionary for gRPC.
"""

from __future__ import annotations

from typing import Any

from serve.config import ModelConfig, Resources, Versions
from serve.repository.artefact import ARTEFACT_NAMES
from serve.tensors import DATATYPES, Signature, TensorSpec

__all__ = ["render_model_config"]


def render_model_config(
    name: str,
    config: ModelConfig,
    signature: Signature,
    platform: str,
    backend: str,
    *,
    max_batch_size: int,
    default_model_filename: str = "",
) -> dict[str, Any]:
    """The configuration of a loaded model, as Triton's clients expect it.

    Args:
        max_batch_size: As resolved at load; 0 for a model that is not batched. Above 0, ``dims``
            leave the batch dimension out.
        default_model_filename: The artefact's name; "" for the backend's usual one.
    """
    batched = signature.batched and max_batch_size > 0
    limit = max_batch_size if batched else 0
    rendered: dict[str, Any] = {
        "name": name,
        "platform": platform,
        "backend": backend,
        "version_policy": _version_policy(config.versions),
        "max_batch_size": limit,
        "input": [
            {**_tensor(spec, batched), "format": "FORMAT_NONE", "optional": spec.optional}
            for spec in signature.inputs
        ],
        "output": [{**_tensor(spec, batched), "label_filename": ""} for spec in signature.outputs],
        "instance_group": [_instance_group(name, config.resources)],
        "default_model_filename": default_model_filename or ARTEFACT_NAMES.get(backend, ""),
        "parameters": {
            key: {"string_value": value} for key, value in sorted(config.parameters.items())
        },
    }
    if config.cache is not None:
        rendered["response_cache"] = {"enable": True}
    if batched:
        rendered["dynamic_batching"] = _dynamic_batching(config, limit)
    return rendered


def _tensor(spec: TensorSpec, batched: bool) -> dict[str, Any]:
    return {
        "name": spec.name,
        "data_type": DATATYPES[spec.datatype].config_name,
        "dims": list(spec.shape[1:] if batched else spec.shape),
    }


def _version_policy(versions: Versions) -> dict[str, Any]:
    if versions.policy == "specific":
        return {"specific": {"versions": list(versions.numbers)}}
    if versions.policy == "all":
        return {"all": {}}
    return {"latest": {"num_versions": versions.count}}


def _instance_group(name: str, resources: Resources) -> dict[str, Any]:
    device, _, gpu = resources.device.partition(":")
    kinds = {"cpu": "KIND_CPU", "cuda": "KIND_GPU", "auto": "KIND_AUTO"}
    return {
        "name": name,
        "kind": kinds[device],
        "count": resources.instances,
        "gpus": [int(gpu)] if gpu else [],
    }


def _dynamic_batching(config: ModelConfig, max_batch_size: int) -> dict[str, Any]:
    batching = config.batching
    return {
        "preferred_batch_size": list(batching.preferred_batch_sizes),
        "max_queue_delay_microseconds": round(batching.max_queue_delay_ms * 1000),
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": round(config.slo.timeout_ms * 1000),
            "allow_timeout_override": True,
            # Rows here, requests there: as many full requests as the queue has room for.
            "max_queue_size": max(batching.max_queue_rows // max_batch_size, 1),
        },
    }
