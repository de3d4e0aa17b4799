"""A Triton ``config.pbtxt`` → ModelConfig, through the generated messages of ``tritonclient``.

Where the two servers differ:

- Triton's ``max_batch_size`` is the switch of batching: with it, ``dims`` leave the batch
  dimension out, and ours have it in front. Without ``dynamic_batching`` Triton never puts two
  requests together; here they are, up to ``max_batch_size``, because no answer depends on it.
- With neither ``max_batch_size`` nor tensors, Triton completes the configuration from the
  artefact, and so do we: its first dimension decides, and the default limit applies.
- ``max_queue_size`` counts requests and ours rows: it is taken as that many full batches, so
  that nothing is refused here that Triton would have queued.
- The warm-up makes up its own inputs, of the batch sizes asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.files import read_text
from serve.repository.pbtxt_fields import REFUSED, refused_fields, unhonoured_fields
from serve.repository.validation import validate

__all__ = ["TritonModel", "parse_config_pbtxt", "read_config_pbtxt"]

BACKENDS = {"onnxruntime": "onnxruntime", "onnxruntime_onnx": "onnxruntime", "python": "python"}

MAX_LABEL_FILE_BYTES = 16 * 1024 * 1024

# Our field to the one in the file, for the errors of fields that keep their meaning.
TRITON_NAMES = {
    "batching": "dynamic_batching.preferred_batch_size",
    "batching.max_batch_size": "max_batch_size",
    "batching.max_queue_delay_ms": "dynamic_batching.max_queue_delay_microseconds",
    "batching.preferred_batch_sizes": "dynamic_batching.preferred_batch_size",
    "resources.device": "instance_group.gpus",
    "resources.instances": "instance_group.count",
    "versions": "version_policy.specific.versions",
}


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
    return parse_config_pbtxt(read_text(path), path.parent)


def parse_config_pbtxt(text: str, folder: Path) -> TritonModel:
    """The configuration in ``text``, as that of the model in ``folder``."""
    path = folder / "config.pbtxt"
    return _Translation(path, _parse(text, str(path))).result()


def _parse(text: str, path: str) -> Any:
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        line, column = error.GetLine(), error.GetColumn()
        problem = str(error).removeprefix(f"{line}:{column} : ")
        if len(problem) > 300:
            problem = f"{problem[:100]} ... {problem[-200:]}"
        raise RepositoryError(
            path=path,
            problem=f"line {line}, column {column}: {problem}" if line else problem,
            remedy="correct the text at that place; the fields are those of Triton's ModelConfig",
        ) from error


class _Translation:
    """One message on its way to ModelConfig."""

    def __init__(self, path: Path, message: Any) -> None:
        self.path = path
        self.folder = path.parent
        self.message = message
        self.extra_warned: list[str] = []

    def error(self, field: str, problem: str, remedy: str) -> RepositoryError:
        return RepositoryError(path=str(self.path), field=field, problem=problem, remedy=remedy)

    def result(self) -> TritonModel:
        message = self.message
        for field in refused_fields(message):
            raise self.error(field, "not offered by this server", REFUSED[field])
        if message.name not in ("", self.folder.name):
            raise self.error(
                "name",
                f"{_short(message.name)} is not the name of its folder, {self.folder.name!r}",
                "rename the folder, or leave `name` out",
            )
        backend = self.backend()
        data: dict[str, Any] = {
            "backend": backend,
            "batching": self.batching(),
            "slo": self.slo(),
            "versions": self.versions(),
            "resources": self.resources(),
            "inputs": self.tensors("input", message.input),
            "outputs": self.tensors("output", message.output),
            "warmup": {
                "batch_sizes": sorted({max(warm.batch_size, 1) for warm in message.model_warmup})
            },
            "parameters": {
                key: value.string_value for key, value in sorted(message.parameters.items())
            },
        }
        config = validate(data, str(self.path), _triton_name)
        return TritonModel(config, self.file_name(), self.warnings())

    def warnings(self) -> tuple[str, ...]:
        fields = sorted({*unhonoured_fields(self.message), *self.extra_warned})
        if not fields:
            return ()
        return (f"{self.path}: set but without effect here: {', '.join(fields)}",)

    def backend(self) -> str | None:
        """The backend that ``backend`` and ``platform`` name; None if neither is set."""
        named = {}
        for field in ("backend", "platform"):
            name = getattr(self.message, field)
            if name and name not in BACKENDS:
                raise self.error(
                    field,
                    f"{_short(name)} is not served here",
                    "export the model to ONNX for `onnxruntime`, or wrap it in a model.py for"
                    " `python`",
                )
            if name:
                named[field] = BACKENDS[name]
        if len(set(named.values())) > 1:
            raise self.error(
                "platform",
                f"{_short(self.message.platform)} contradicts"
                f" `backend: {_short(self.message.backend)}`",
                "leave `platform` out",
            )
        return next(iter(named.values()), None)

    def file_name(self) -> str:
        name: str = self.message.default_model_filename
        if not name:
            return ""
        if "/" in name or not name.isprintable() or name in (".", ".."):
            raise self.error(
                "default_model_filename",
                f"{_short(name)} is not the name of a file in a version folder",
                "name the file alone, as in `model.onnx`",
            )
        return name

    @property
    def max_batch_size(self) -> int | None:
        """None: to be read from the artefact, as where Triton completes a configuration."""
        message = self.message
        if message.max_batch_size == 0 and not message.input and not message.output:
            return None
        return int(message.max_batch_size)

    def batching(self) -> dict[str, Any]:
        dynamic = self.message.dynamic_batching
        batching: dict[str, Any] = {
            "max_batch_size": self.max_batch_size,
            "max_queue_delay_ms": dynamic.max_queue_delay_microseconds / 1000,
            "preferred_batch_sizes": sorted(set(dynamic.preferred_batch_size)),
        }
        most_requests = dynamic.default_queue_policy.max_queue_size
        if most_requests:
            batching["max_queue_rows"] = most_requests * max(self.max_batch_size or 1, 1)
        return batching

    def slo(self) -> dict[str, Any]:
        queue_policy = self.message.dynamic_batching.default_queue_policy
        timeout_us = queue_policy.default_timeout_microseconds
        return {"timeout_ms": timeout_us / 1000} if timeout_us else {}

    def versions(self) -> dict[str, Any]:
        policy = self.message.version_policy
        choice = policy.WhichOneof("policy_choice") or "latest"
        if choice == "specific":
            return {"policy": choice, "numbers": sorted(set(policy.specific.versions))}
        if choice == "latest":
            return {"policy": choice, "count": policy.latest.num_versions or 1}
        return {"policy": choice}

    def resources(self) -> dict[str, Any]:
        """Instances of all groups together, on the first group's device."""
        groups = self.message.instance_group
        if not groups:
            return {}
        kinds = model_config_pb2.ModelInstanceGroup
        first = groups[0]
        if any(group.kind != first.kind for group in groups):
            self.extra_warned.append("instance_group.kind (of groups after the first)")
        gpus = list(dict.fromkeys(gpu for group in groups for gpu in group.gpus))
        # Triton takes a group of no kind that lists GPUs to be one of GPUs if they are there,
        # which is what `auto` finds out, on the first of them.
        used = gpus[:1] if first.kind == kinds.KIND_GPU else []
        if gpus != used:
            self.extra_warned.append("instance_group.gpus (all but one)" if used else
                                     "instance_group.gpus")
        device = "auto"
        if first.kind == kinds.KIND_CPU:
            device = "cpu"
        elif first.kind == kinds.KIND_GPU:
            device = f"cuda:{used[0]}" if used else "cuda"
        return {"device": device, "instances": sum(max(group.count, 1) for group in groups)}

    def tensors(self, kind: str, items: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """``input`` or ``output``: by name, what is said of each."""
        tensors: dict[str, dict[str, Any]] = {}
        for index, item in enumerate(items):
            if not item.name:
                raise self.error(f"{kind}[{index}].name", "missing", "name the tensor")
            where = f"{kind}[{_short(item.name)}]"
            if item.name in tensors:
                raise self.error(where, "named twice", f"keep one {kind} of a name")
            settings: dict[str, Any] = {
                "datatype": self.datatype(where, item.data_type),
                "shape": self.shape(where, item.dims),
            }
            if kind == "input":
                settings["optional"] = item.optional
            elif item.label_filename:
                settings["labels"] = self.labels(where, item.label_filename)
            tensors[item.name] = settings
        return tensors

    def datatype(self, where: str, number: int) -> str | None:
        if number == model_config_pb2.TYPE_INVALID:
            return None
        try:
            name: str = model_config_pb2.DataType.Name(number).removeprefix("TYPE_")
        except ValueError:
            raise self.error(
                f"{where}.data_type", f"{number} is no datatype", "use a name, as in TYPE_FP32"
            ) from None
        return "BYTES" if name == "STRING" else name

    def shape(self, where: str, dims: Iterable[int]) -> list[int] | None:
        """With the batch dimension; None where the artefact is to say it."""
        shape = list(dims)
        for size in shape:
            if size < 1 and size != -1:
                raise self.error(
                    f"{where}.dims", f"{size} is no size", "use sizes from 1, or -1 for any"
                )
        if not shape:
            return None
        return [-1, *shape] if self.max_batch_size else shape

    def labels(self, where: str, name: str) -> list[str]:
        """The lines of a label file inside the model's folder."""
        field = f"{where}.label_filename"
        remedy = "name a file in the model's folder, as in `labels.txt`"
        if not name.isprintable():
            raise self.error(field, f"{_short(name)} is no file name", remedy)
        try:
            target = (self.folder / name).resolve()
            inside = target.is_relative_to(self.folder.resolve())
        except (OSError, RuntimeError) as error:
            raise self.error(field, f"{_short(name)} cannot be found", remedy) from error
        if not inside:
            raise self.error(field, f"{_short(name)} is outside the model's folder", remedy)
        try:
            lines = read_text(target, MAX_LABEL_FILE_BYTES).split("\n")
        except RepositoryError as error:
            raise self.error(field, f"{_short(name)}: {error.problem}", remedy) from error
        if lines[-1] == "":
            lines.pop()  # what follows the last line's end is no label
        return [line.removesuffix("\r") for line in lines]


def _short(text: str) -> str:
    return repr(text) if len(text) <= 64 else f"{text[:64]!r}..."


def _triton_name(field: str, names: Mapping[str, str] = TRITON_NAMES) -> str:
    """The name in ``config.pbtxt`` of one of our fields, or of the group it is in."""
    while field:
        if field in names:
            return names[field]
        head, _, tail = field.rpartition(".")
        if not head or not tail.isdigit():
            break
        field = head
    return field
