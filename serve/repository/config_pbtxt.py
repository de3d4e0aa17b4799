"""A Triton ``config.pbtxt`` → ModelConfig, through the generated messages of ``tritonclient``.

Where the two servers differ:

- Triton's ``max_batch_size`` is the switch of batching: with it, ``dims`` leave the batch
  dimension out, and ours have it in front. Without ``dynamic_batching`` Triton never puts two
  requests together; here they are, up to ``max_batch_size``, because no answer depends on it.
- With neither ``max_batch_size`` nor tensors, Triton completes the configuration from the
  artefact, and so do we: its first dimension decides, and the default limit applies.
- ``max_queue_size`` counts requests and ours rows: it is taken as that many full batches, so
  that nothing is refused here that Triton would have queued.
- ``response_cache`` has its size from ``--cache-bytes``, for each model and not for all together.
- The warm-up makes up its own inputs, of the batch sizes asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.files import read_text, shown
from serve.repository.pbtxt_fields import REFUSED, refused_fields, unhonoured_fields
from serve.repository.pbtxt_tensors import tensor_settings
from serve.repository.validation import validate

__all__ = ["TritonModel", "in_triton_terms", "parse_config_pbtxt", "read_config_pbtxt"]

CONFIG_PBTXT = "config.pbtxt"

BACKENDS = {"onnxruntime": "onnxruntime", "onnxruntime_onnx": "onnxruntime", "python": "python"}

THREADS_PARAMETER = "intra_op_thread_count"
"""The one parameter of Triton's ONNX Runtime backend that is a setting of ours."""

TRITON_NAMES = {
    "batching": "dynamic_batching.preferred_batch_size",
    "batching.max_batch_size": "max_batch_size",
    "batching.max_queue_delay_ms": "dynamic_batching.max_queue_delay_microseconds",
    "batching.max_queue_rows": "dynamic_batching.default_queue_policy.max_queue_size",
    "resources.device": "instance_group.gpus",
    "resources.instances": "instance_group.count",
    "resources.intra_op_threads": f"parameters[{THREADS_PARAMETER!r}]",
    "slo.timeout_ms": "dynamic_batching.default_queue_policy.default_timeout_microseconds",
    "warmup": "model_warmup.batch_size",
    "versions": "version_policy.specific.versions",
}
"""Our field to the one it was read from, for the errors that validation finds."""

TENSOR_FIELDS = {"datatype": "data_type", "shape": "dims"}
"""The same, of an input or output."""


@dataclass(frozen=True, slots=True)
class TritonModel:
    """What a ``config.pbtxt`` says, in our terms.

    ``default_model_filename`` is "" where the file leaves it out.
    """

    config: ModelConfig
    default_model_filename: str = ""
    warnings: tuple[str, ...] = ()


def read_config_pbtxt(path: Path) -> TritonModel:
    """The configuration in the file at ``path``; label files are read from beside it.

    Raises:
        RepositoryError: it cannot be read, is not Triton's format, or asks for what would give
            other answers if it were ignored.
    """
    return parse_config_pbtxt(read_text(path), path)


def parse_config_pbtxt(text: str, path: Path) -> TritonModel:
    """The configuration in ``text``, as that of the model in the folder of ``path``."""
    message = _parse(text, str(path))
    for field in refused_fields(message):
        raise _error(path, field, "not offered by this server", REFUSED[field])
    if message.name not in ("", path.parent.name):
        raise _error(
            path,
            "name",
            f"{shown(message.name)} is not the name of its folder, {shown(path.parent.name)}",
            "rename the folder, or leave `name` out",
        )
    unused = unhonoured_fields(message)
    max_batch_size = _max_batch_size(message)
    batched = bool(max_batch_size)
    file_name = _file_name(path, message.default_model_filename)
    backend = _backend(path, message)
    parameters = {key: item.string_value for key, item in sorted(message.parameters.items())}
    threads = "0"
    if backend != "python" and not file_name.endswith(".py"):
        threads = parameters.get(THREADS_PARAMETER, "0")
        unused += [f"parameters[{shown(key)}]" for key in parameters if key != THREADS_PARAMETER]
    settings = {
        "backend": backend,
        "batching": _batching(message.dynamic_batching, max_batch_size),
        "slo": _slo(message.dynamic_batching.default_queue_policy),
        "versions": _versions(message.version_policy),
        "resources": _resources(message.instance_group, threads, unused),
        "inputs": tensor_settings(path, "input", message.input, batched),
        "outputs": tensor_settings(path, "output", message.output, batched),
        "warmup": {
            "batch_sizes": sorted({max(warmup.batch_size, 1) for warmup in message.model_warmup})
        },
        "parameters": parameters,
        # Triton's answers do not age: they are kept until others need their place.
        "cache": {"ttl_s": None} if message.response_cache.enable else None,
    }
    config = validate(settings, str(path), _triton_name)
    return TritonModel(config, file_name, _warnings(path, unused))


def in_triton_terms(error: RepositoryError) -> RepositoryError:
    """An error about a setting, with the name that the setting has in the file it is from."""
    if Path(error.path).name != CONFIG_PBTXT:
        return error
    renamed = RepositoryError(
        path=error.path,
        field=_triton_name(error.field),
        problem=error.problem,
        remedy=error.remedy,
    )
    return renamed.with_traceback(error.__traceback__)


def _error(path: Path, field: str, problem: str, remedy: str) -> RepositoryError:
    return RepositoryError(path=str(path), field=field, problem=problem, remedy=remedy)


def _parse(text: str, path: str) -> Any:
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        problem = str(error).removeprefix(f"{line}:{column} : ")
        if len(problem) > 300:  # it may quote the whole line
            problem = f"{problem[:100]} ... {problem[-200:]}"
        raise RepositoryError(
            path=path,
            problem=f"line {line}, column {column}: {problem}" if line else problem,
            remedy="correct the text at that place; the fields are those of Triton's ModelConfig",
        ) from error


def _warnings(path: Path, unused: list[str]) -> tuple[str, ...]:
    if not unused:
        return ()
    return (f"{path}: set but without effect here: {', '.join(sorted(set(unused)))}",)


def _backend(path: Path, message: Any) -> str | None:
    """What ``backend`` and ``platform`` name; None if neither is set."""
    named = {}
    for field in ("backend", "platform"):
        name = getattr(message, field)
        if name and name not in BACKENDS:
            raise _error(
                path,
                field,
                f"{shown(name)} is not served here",
                "export the model to ONNX for `onnxruntime`, or wrap it in a model.py for `python`",
            )
        if name:
            named[field] = BACKENDS[name]
    if len(set(named.values())) > 1:
        problem = f"{shown(message.platform)} contradicts backend {shown(message.backend)}"
        raise _error(path, "platform", problem, "leave `platform` out")
    return next(iter(named.values()), None)


def _file_name(path: Path, name: str) -> str:
    """The artefact's name, "" for the usual one; it cannot lead out of the version folder."""
    if "/" in name or not name.isprintable() or name in (".", ".."):
        raise _error(
            path,
            "default_model_filename",
            f"{shown(name)} is not the name of a file in a version folder",
            "name the file alone, as in `model.onnx`",
        )
    return name


def _max_batch_size(message: Any) -> int | None:
    """None: to be read from the artefact, where Triton completes the configuration too."""
    if message.max_batch_size == 0 and not message.input and not message.output:
        return None
    return int(message.max_batch_size)


def _batching(dynamic: Any, max_batch_size: int | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "max_batch_size": max_batch_size,
        "max_queue_delay_ms": dynamic.max_queue_delay_microseconds / 1000,
        "preferred_batch_sizes": sorted(set(dynamic.preferred_batch_size)),
    }
    most_requests = dynamic.default_queue_policy.max_queue_size
    if most_requests:
        settings["max_queue_rows"] = most_requests * max(max_batch_size or 1, 1)
    return settings


def _slo(queue_policy: Any) -> dict[str, Any]:
    timeout_us = queue_policy.default_timeout_microseconds
    return {"timeout_ms": timeout_us / 1000} if timeout_us else {}


def _versions(policy: Any) -> dict[str, Any]:
    choice = policy.WhichOneof("policy_choice") or "latest"
    if choice == "specific":
        return {"policy": choice, "numbers": sorted(set(policy.specific.versions))}
    if choice == "latest":
        return {"policy": choice, "count": policy.latest.num_versions or 1}
    return {"policy": choice}


def _resources(groups: Any, threads: str, unused: list[str]) -> dict[str, Any]:
    """The instances of all groups together, on the first group's device.

    What cannot be expressed so (several kinds, several GPUs) is added to ``unused``.
    """
    settings: dict[str, Any] = {} if threads == "0" else {"intra_op_threads": threads}
    if not groups:
        return settings
    kind = groups[0].kind
    gpus = list(dict.fromkeys(gpu for group in groups for gpu in group.gpus))
    device = "auto"
    if kind == model_config_pb2.ModelInstanceGroup.KIND_CPU:
        device = "cpu"
    elif kind == model_config_pb2.ModelInstanceGroup.KIND_GPU:
        device = f"cuda:{gpus.pop(0)}" if gpus else "cuda"
    if any(group.kind != kind for group in groups):
        unused.append("instance_group.kind (after the first)")
    if gpus:
        unused.append(f"instance_group.gpus ({', '.join(map(str, gpus[:16]))})")
    instances = sum(group.count or 1 for group in groups)
    return {**settings, "device": device, "instances": instances}


def _triton_name(field: str) -> str:
    """The name in ``config.pbtxt`` of a field of ours, or of the group that it is in."""
    side, _, tensor = field.partition(".")
    if side in ("inputs", "outputs") and tensor:
        name, dot, part = tensor.rpartition(".")
        if part not in TENSOR_FIELDS:
            name, dot, part = tensor, "", ""
        return f"{side[:-1]}[{shown(name)}]{dot}{TENSOR_FIELDS.get(part, part)}"
    group = field
    while group:
        if group in TRITON_NAMES:
            return TRITON_NAMES[group]
        group = group.rpartition(".")[0]
    return field
