"""The inputs and outputs of a ``config.pbtxt``, in the terms of ``model.yaml``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from tritonclient.grpc import model_config_pb2

from serve.errors import RepositoryError
from serve.repository.files import read_text, shown

__all__ = ["tensor_settings"]

MAX_LABEL_FILE_BYTES = 16 * 1024 * 1024


def tensor_settings(
    path: Path, kind: Literal["input", "output"], items: Iterable[Any], batched: bool
) -> dict[str, dict[str, Any]]:
    """By name, the settings of each ModelInput or ModelOutput of the file at ``path``.

    Args:
        batched: Whether ``dims`` leave out the batch dimension, which ours have in front.

    Raises:
        RepositoryError: a name, datatype, size or label file is wrong.
    """
    tensors: dict[str, dict[str, Any]] = {}
    for index, item in enumerate(items):
        if not item.name:
            raise _error(path, f"{kind}[{index}].name", "is missing", "name the tensor")
        where = f"{kind}[{shown(item.name)}]"
        if item.name in tensors:
            raise _error(path, where, "is there twice", f"keep one {kind} of a name")
        tensors[item.name] = {
            "datatype": _datatype(path, where, item.data_type),
            "shape": _shape(path, where, item.dims, batched),
        }
        if kind == "output" and item.label_filename:
            tensors[item.name]["labels"] = _labels(path, where, item.label_filename)
    return tensors


def _error(path: Path, field: str, problem: str, remedy: str) -> RepositoryError:
    return RepositoryError(path=str(path), field=field, problem=problem, remedy=remedy)


def _datatype(path: Path, where: str, number: int) -> str | None:
    """None where it is left to the artefact."""
    if number == model_config_pb2.TYPE_INVALID:
        return None
    try:
        name: str = model_config_pb2.DataType.Name(number).removeprefix("TYPE_")
    except ValueError:
        field = f"{where}.data_type"
        raise _error(path, field, f"{number} is no datatype", "use a name, as TYPE_FP32") from None
    return "BYTES" if name == "STRING" else name


def _shape(path: Path, where: str, dims: Iterable[int], batched: bool) -> list[int] | None:
    """With the batch dimension; None where it is left to the artefact."""
    shape = list(dims)
    for size in shape:
        if size < 1 and size != -1:
            remedy = "use sizes from 1 up, and -1 where any will do"
            raise _error(path, f"{where}.dims", f"{size} is no size", remedy)
    if not shape:
        return None
    return [-1, *shape] if batched else shape


def _labels(path: Path, where: str, name: str) -> list[str]:
    """The lines of a label file, which has to be inside the model's folder."""
    field = f"{where}.label_filename"
    remedy = "name a text file in the model's folder, as in `labels.txt`"
    if not name.isprintable():
        raise _error(path, field, f"{shown(name)} is no file name", remedy)
    folder = path.parent
    try:
        target = (folder / name).resolve()
        inside = target.is_relative_to(folder.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise _error(path, field, f"{shown(name)} cannot be found", remedy) from error
    if not inside:
        raise _error(path, field, f"{shown(name)} is outside the model's folder", remedy)
    try:
        lines = read_text(target, MAX_LABEL_FILE_BYTES).split("\n")
    except RepositoryError as error:
        raise _error(path, field, f"{shown(name)}: {error.problem}", remedy) from error
    if lines[-1] == "":
        lines.pop()  # what follows the end of the last line is no label
    return [line.removesuffix("\r") for line in lines]
