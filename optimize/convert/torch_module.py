"""A ``torch.nn.Module`` → an exported program, and the program → ONNX.

The batch is dynamic, and so is each dimension in which rows differ: a module that fixes one of
them is refused here, and not served with answers to a batch it was not asked.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optimize.convert.graph import finish, finish_file
from optimize.errors import OptimizeError
from optimize.source.network import Network
from serve.backends.tokenizer import COLUMNS
from serve.tensors import Array

__all__ = ["OPSETS", "NoOnnx", "export_program", "output_names", "save_program", "write_onnx"]

OPSETS = (23, 20, 18)
"""Tried in turn: 23 has attention as one operator."""
EXAMPLE_ROWS = 3
"""More than one, because an exporter takes a batch of one for a constant."""
LARGEST_FILE = 2**31 - 2**24
"""Bytes of weights beyond which they lie beside the graph: protobuf ends at 2 GiB."""


class NoOnnx(Exception):
    """A program that ONNX cannot express; the message says which operator."""


def export_program(network: Network, features: Any) -> Any:
    """The ``torch.export.ExportedProgram`` of the module, in evaluation mode.

    Raises:
        OptimizeError: it cannot be traced with a dynamic batch; names the line and the remedy.
    """
    import torch

    arrays = network.arrays(features)
    rows = {name: _few(array, EXAMPLE_ROWS) for name, array in arrays.items()}
    _has_rows(network, rows)
    example = network.tokenised(rows, network.encoder())
    dynamic = torch.export.Dim.DYNAMIC
    variable = {**network.variable, **dict.fromkeys(COLUMNS, (1,))}
    if network.text is None:
        variable = dict(network.variable)
    shapes = {name: dict.fromkeys((0, *variable.get(name, ())), dynamic) for name in example}
    tensors = {name: torch.from_numpy(array) for name, array in example.items()}
    try:
        with _quiet():
            return torch.export.export(
                network.module, (), tensors, dynamic_shapes=shapes, strict=False
            )
    except Exception as error:
        raise _not_traced(error) from error


def save_program(program: Any, target: Path) -> None:
    """Write the program, with its weights and dynamic shapes, for ``torch.export.load``."""
    import torch

    with _quiet():
        torch.export.save(program, target)


def write_onnx(network: Network, program: Any, target: Path) -> int:
    """Write the graph of an exported program to ``target``; returns its opset.

    One file, or weights in ``model.onnx.data`` beside it if they pass what one file can hold.

    Raises:
        NoOnnx: an operator has no counterpart, or no opset gives a graph that can be run.
    """
    names = list(program.graph_signature.user_inputs)
    outputs = output_names(network, program)
    problem = ""
    for opset in OPSETS:
        try:
            _convert(program, opset, outputs, target)
            _runs(program, names, target)
            return opset
        except Exception as error:  # noqa: BLE001 - whatever it is, another opset may do
            problem = problem or _operator(error)
            if "No ONNX function found" in problem:
                break
    for path in target.parent.glob(f"{target.name}*"):
        path.unlink()
    raise NoOnnx(problem)


def _convert(program: Any, opset: int, outputs: list[str], target: Path) -> None:
    import torch

    with _quiet():
        made: Any = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
        _name_outputs(made.model, outputs)
        weights = sum(each.nbytes for each in program.state_dict.values())
        if weights <= LARGEST_FILE:
            target.write_bytes(finish(made.model_proto))
        else:
            made.save(target, external_data=True)
            finish_file(target)


def _name_outputs(model: Any, outputs: list[str]) -> None:
    """Give the outputs their names; a value inside that has one of them by chance gives it up."""
    results = dict(zip(model.graph.outputs, outputs, strict=True))
    for node in model.graph:
        for value in node.outputs:
            if value.name in outputs and value not in results:
                value.name = f"{value.name}_inside"
    for value, name in results.items():
        value.name = name


def _runs(program: Any, names: list[str], target: Path) -> None:
    """Run the graph on the example and on one row of it, as proof that the runtime has it all."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])
    example = dict(zip(names, program.example_inputs[1].values(), strict=True))
    for rows in (EXAMPLE_ROWS, 1):
        session.run(None, {name: tensor.numpy()[:rows] for name, tensor in example.items()})


def output_names(network: Network, program: Any) -> list[str]:
    """What the program's outputs are called, in its order."""
    import torch

    with torch.inference_mode():
        return list(network.named(network.module(**program.example_inputs[1])))


def _few(array: Array, rows: int) -> Array:
    """The first rows, some of them again if there are fewer."""
    return np.ascontiguousarray(np.resize(array[:rows], (rows, *array.shape[1:])))


def _has_rows(network: Network, example: Mapping[str, Array]) -> None:
    """Every output must have a row for every row, at any batch."""
    for rows in (EXAMPLE_ROWS, 1):
        try:
            answer = network.answer({name: array[:rows] for name, array in example.items()})
        except OptimizeError:
            raise
        except Exception as error:
            raise OptimizeError(
                step="export",
                problem=f"forward fails on {rows} row(s) of the evaluation data:"
                f" {type(error).__name__}: {_line(error)}",
                remedy="call it with such a batch by hand; dtypes and shapes are those of the data",
            ) from error
        for name, array in answer.items():
            if array.ndim == 0 or len(array) != rows:
                raise OptimizeError(
                    step="export",
                    problem=f"output {name!r} has shape {list(array.shape)} for {rows} row(s)",
                    remedy="return a row for every row, the batch first, and do not squeeze it",
                )


def _not_traced(error: Exception) -> OptimizeError:
    text = str(error)
    where = re.search(r'File "([^"]+)", line (\d+), in (\S+)\s*\n\s*(.+)', text)
    line = f" at {Path(where[1]).name}:{where[2]}: `{where[4].strip()}`" if where else ""
    if "specialized it to be a constant" in text:
        fixed = re.search(r"marked L\['(\w+)'\]\.size\(\)\[(\d+)\] as dynamic", text)
        what = f"dimension {fixed[2]} of {fixed[1]!r}" if fixed else "the batch"
        problem = f"forward fixes {what} to the example's size"
        remedy = "use x.shape and -1 in place of numbers in reshape, view and expand"
    elif "data-dependent" in text:
        problem = f"forward decides by the values of a tensor{line}"
        remedy = "use torch.where or masks in place of `if`, and no .item() or boolean indexing"
    else:
        problem = f"torch.export cannot trace it{line}: {type(error).__name__}: {_line(error)}"
        remedy = "keep forward to tensor operations, or return your own graph"
    return OptimizeError(step="export", problem=problem, remedy=remedy)


def _operator(error: BaseException) -> str:
    """What the innermost cause says; the operator, where it is one that ONNX lacks."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error)
    lacking = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", text)
    if lacking:
        return f"No ONNX function found for {lacking[1]}"
    return f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own remarks, which are about its parts and not about the model."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
