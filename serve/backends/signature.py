"""The signature of a version: what its artefact says, checked against what its settings say.

A model is batched if, and only if, the first dimension of every input and every output is
variable and ``batching.max_batch_size`` is not 0. Nothing else is ever taken for a batch.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from serve.backends.base import BackendSource
from serve.backends.input_values import default_problem, range_problem
from serve.config import InputConfig, OutputConfig
from serve.errors import RepositoryError
from serve.tensors import DATATYPES, Signature, TensorSpec

__all__ = ["ArtefactTensor", "declared_signature", "reconcile", "row_bytes", "settings_file"]

logger = logging.getLogger("penstock.backend")

MAX_ROW_BYTES = 2**31
"""What no request can hold; a warm-up batch of it could take the machine down."""

STRING_BYTES = 4
"""Least bytes of a string in a message: its length."""

Side = Literal["inputs", "outputs"]


@dataclass(frozen=True, slots=True)
class ArtefactTensor:
    """A tensor as an artefact describes it; ``shape`` is None where it says nothing."""

    name: str
    datatype: str
    shape: tuple[int, ...] | None


def settings_file(source: BackendSource) -> str:
    """The file that the user has to open to change a setting of this model."""
    for name in ("model.yaml", "config.pbtxt"):
        if (source.folder / name).is_file():
            return str(source.folder / name)
    return str(source.folder / "model.yaml")


def declared_signature(source: BackendSource) -> Signature:
    """The signature as the settings alone declare it, for artefacts that cannot say.

    Raises:
        RepositoryError: an input or output is missing, or lacks its datatype or shape.
    """
    config = source.config
    sides: dict[Side, list[ArtefactTensor]] = {"inputs": [], "outputs": []}
    declared: dict[Side, Mapping[str, InputConfig] | Mapping[str, OutputConfig]] = {
        "inputs": config.inputs,
        "outputs": config.outputs,
    }
    for side, tensors in declared.items():
        if not tensors:
            raise RepositoryError(
                path=settings_file(source),
                field=side,
                problem=f"no {side} are declared, and {source.artefact.name} cannot tell them",
                remedy=f"declare each of the {side} with its datatype and shape",
            )
        for name, tensor in tensors.items():
            if tensor.datatype is None or tensor.shape is None:
                missing = "datatype" if tensor.datatype is None else "shape"
                raise RepositoryError(
                    path=settings_file(source),
                    field=f"{side}.{name}.{missing}",
                    problem=f"is not set, and {source.artefact.name} cannot tell it",
                    remedy="set it; a shape begins with -1 if the first dimension is rows",
                )
            sides[side].append(ArtefactTensor(name, tensor.datatype, tensor.shape))
    return reconcile(source, sides["inputs"], sides["outputs"])


def reconcile(
    source: BackendSource, inputs: Sequence[ArtefactTensor], outputs: Sequence[ArtefactTensor]
) -> Signature:
    """The artefact's signature, made more precise by the settings where both agree.

    The settings may give a number where the artefact is variable, a whole shape where it has
    none, and -1 for the first dimension of an output where it has 1; else they may not
    contradict it.

    Raises:
        RepositoryError: an unknown name, or a datatype, shape, range, default or batch size that
            the artefact does not allow.
    """
    config = source.config
    _names_exist(source, "inputs", config.inputs, inputs)
    _names_exist(source, "outputs", config.outputs, outputs)
    input_specs = []
    for tensor in inputs:
        setting = config.inputs.get(tensor.name, InputConfig())
        shape = _merged(source, "inputs", tensor, setting)
        _check_values(source, tensor, setting)
        optional = setting.default is not None
        input_specs.append(TensorSpec(tensor.name, tensor.datatype, shape, optional))
    output_specs = [
        TensorSpec(
            tensor.name,
            tensor.datatype,
            _merged(source, "outputs", tensor, config.outputs.get(tensor.name, OutputConfig())),
        )
        for tensor in outputs
    ]
    batched = _is_batched(source, input_specs, output_specs)
    _row_fits(source, input_specs)
    return Signature(tuple(input_specs), tuple(output_specs), batched)


def _names_exist(
    source: BackendSource,
    side: Side,
    settings: Mapping[str, object],
    tensors: Sequence[ArtefactTensor],
) -> None:
    known = [tensor.name for tensor in tensors]
    for name in settings:
        if name not in known:
            raise RepositoryError(
                path=settings_file(source),
                field=f"{side}.{name}",
                problem=f"{source.artefact.name} has no such {side[:-1]}",
                remedy=f"it has: {', '.join(known) or 'none'}",
            )


def _merged(
    source: BackendSource,
    side: Side,
    tensor: ArtefactTensor,
    setting: InputConfig | OutputConfig,
) -> tuple[int, ...]:
    field = f"{side}.{tensor.name}"
    if setting.datatype is not None and setting.datatype != tensor.datatype:
        raise RepositoryError(
            path=settings_file(source),
            field=f"{field}.datatype",
            problem=f"is {setting.datatype}, but in {source.artefact.name} it is {tensor.datatype}",
            remedy=f"set it to {tensor.datatype} or leave it out",
        )
    shape = setting.shape
    if shape is None:
        if tensor.shape is None:
            raise RepositoryError(
                path=settings_file(source),
                field=f"{field}.shape",
                problem=f"is not set, and {source.artefact.name} gives this tensor no shape",
                remedy="set it: -1 where variable, [] for a scalar",
            )
        return tensor.shape
    if any(dimension < -1 for dimension in shape):
        raise RepositoryError(
            path=settings_file(source),
            field=f"{field}.shape",
            problem=f"{list(shape)} has a negative dimension",
            remedy="use -1 for a variable dimension",
        )
    general = tensor.shape
    if side == "outputs" and general and general[0] == 1:
        # Some exporters write 1 for the rows of an output, which the runtime does not enforce.
        general = (-1, *general[1:])
    if general is not None and not _specialises(shape, general):
        raise RepositoryError(
            path=settings_file(source),
            field=f"{field}.shape",
            problem=f"is {list(shape)}, but in {source.artefact.name} it is"
            f" {list(tensor.shape or ())}",
            remedy="make it agree (a number may stand for -1, not the reverse) or leave it out",
        )
    return shape


def _specialises(shape: tuple[int, ...], general: tuple[int, ...]) -> bool:
    return len(shape) == len(general) and all(
        wide in (-1, narrow) for narrow, wide in zip(shape, general, strict=True)
    )


def _check_values(source: BackendSource, tensor: ArtefactTensor, setting: InputConfig) -> None:
    for key, problem in (
        ("range", range_problem(tensor.datatype, setting)),
        ("default", default_problem(tensor.datatype, setting)),
    ):
        if problem:
            raise RepositoryError(
                path=settings_file(source),
                field=f"inputs.{tensor.name}.{key}",
                problem=problem,
                remedy=f"give what a {tensor.datatype} can hold, or leave it out",
            )


def _is_batched(
    source: BackendSource, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> bool:
    limit = source.config.batching.max_batch_size
    if limit == 0:
        return False
    fixed = [spec for spec in (*inputs, *outputs) if not spec.shape or spec.shape[0] != -1]
    if limit is not None and fixed:
        raise RepositoryError(
            path=settings_file(source),
            field="batching.max_batch_size",
            problem=f"is {limit}, but the first dimension of {fixed[0].name!r} is not variable"
            f" (its shape is {list(fixed[0].shape)})",
            remedy="export the model with a dynamic batch dimension in every input and output,"
            " or set max_batch_size to 0; an output that has rows although the exporter wrote 1"
            " may be given the shape [-1, ...] in outputs",
        )
    if fixed:
        logger.info(
            "%s/%d is not batched: the first dimension of %r is not variable",
            source.model_name,
            source.version,
            fixed[0].name,
        )
    return not fixed and bool(inputs)


def row_bytes(spec: TensorSpec) -> int:
    """Bytes of one row, each variable dimension taken for 1; of strings, the least."""
    itemsize = DATATYPES[spec.datatype].itemsize or STRING_BYTES
    return math.prod(abs(size) for size in spec.shape) * itemsize


def _row_fits(source: BackendSource, inputs: Sequence[TensorSpec]) -> None:
    for spec in inputs:
        size_bytes = row_bytes(spec)
        if size_bytes > MAX_ROW_BYTES:
            raise RepositoryError(
                path=settings_file(source),
                field=f"inputs.{spec.name}.shape",
                problem=f"is {list(spec.shape)}: one row has {size_bytes} bytes, more than any"
                " request can hold",
                remedy="export the model with the dimensions that it is really used with",
            )
