"""What an exported program takes and gives, by the names and shapes that serving holds it to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optimize.errors import OptimizeError
from serve.backends.pt2_file import Pt2Signature, Pt2Tensor

__all__ = ["program_signature"]

BATCH = "batch"
GUESSED_LOW = 2
"""What torch.export writes as the least size where nobody said one: that of one row is not tried
at export, and is at verification."""


def program_signature(program: Any, outputs: Sequence[str] = ()) -> Pt2Signature:
    """The signature of a ``torch.export.ExportedProgram``.

    Args:
        outputs: Names for what it gives, in its order; else those of the mapping that it returns,
            or ``output``, or ``output_0`` and so on.

    Raises:
        OptimizeError: it cannot be served from native code, which checks nothing of this itself.
    """
    # Only without operations in place does a program tell what it writes to.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's remarks are about torch
        program = program.run_decompositions({})
    about = program.graph_signature
    if about.user_inputs_to_mutate:
        raise _wrong(
            f"forward writes to its input {next(iter(about.user_inputs_to_mutate.values()))!r}",
            "let forward copy an input before it changes it",
        )
    if about.buffers_to_mutate:
        raise _wrong(
            f"forward changes the buffer {next(iter(about.buffers_to_mutate.values()))!r}, so that"
            " answers would depend on the requests before",
            "keep no state between calls; call .eval() before the export",
        )
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    words: dict[str, str] = {}
    inputs = []
    for name in about.user_inputs:
        value: Any = values.get(name)
        if not hasattr(value, "shape"):
            raise _wrong(f"input {name!r} is no tensor", "make it a constant of the module")
        shape = _input_shape(name, value.shape, words)
        inputs.append(Pt2Tensor(name=name, datatype=_datatype(name, value.dtype), shape=shape))
    given: list[Any] = [values.get(name) for name in about.user_outputs]
    names = list(outputs) or _output_names(program.call_spec.out_spec, len(given))
    if len(names) != len(given):
        raise _wrong(f"it gives {len(given)} outputs, and {len(names)} are named", "name each one")
    made = []
    for name, value in zip(names, given, strict=True):
        if not hasattr(value, "shape"):
            raise _wrong(f"output {name!r} is no tensor", "return tensors only")
        sizes = [
            each if isinstance(each, int) else words.get(str(each), "?") for each in value.shape
        ]
        made.append(Pt2Tensor(name=name, datatype=_datatype(name, value.dtype), shape=tuple(sizes)))
    return Pt2Signature(
        inputs=tuple(inputs), outputs=tuple(made), ranges=_ranges(program.range_constraints, words)
    )


def _input_shape(name: str, shape: Sequence[Any], words: dict[str, str]) -> tuple[int | str, ...]:
    """Numbers, and a word for each symbol; symbols that are equal in the program share theirs."""
    sizes: list[int | str] = []
    for axis, size in enumerate(shape):
        if isinstance(size, int):
            sizes.append(size)
            continue
        if not size.node.expr.is_symbol:
            raise _wrong(
                f"dimension {axis} of input {name!r} is {size}, which depends on another one",
                "export it with a dimension of its own (torch.export.Dim)",
            )
        # Rows are the same in every input, whether or not the program brings them together.
        word = BATCH if axis == 0 else f"{name}_{axis}"
        sizes.append(words.setdefault(str(size), word))
    return tuple(sizes)


def _ranges(
    constraints: Mapping[Any, Any], words: Mapping[str, str]
) -> dict[str, tuple[int, int | None]]:
    """The tightest range of each word; sizes that nothing limits have no highest."""
    found: dict[str, tuple[int, int | None]] = {}
    for symbol, limits in constraints.items():
        word = words.get(str(symbol))
        if word is None:
            continue
        low = max(1, int(limits.lower))
        high = int(limits.upper) if limits.upper.is_Integer else None
        if low == GUESSED_LOW and high is None:
            low = 1
        known_low, known_high = found.get(word, (low, high))
        highs = [each for each in (high, known_high) if each is not None]
        found[word] = (max(low, known_low), min(highs, default=None))
    return found


def _output_names(spec: Any, count: int) -> list[str]:
    if spec.type is dict and len(spec.context) == count:
        return [str(name) for name in spec.context]
    fields = getattr(spec.context, "_fields", ()) or getattr(spec.type, "_fields", ())
    if len(fields) == count:
        return list(fields)
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _datatype(name: str, dtype: Any) -> str:
    from serve.backends.torch_tensors import TORCH_DTYPES

    for datatype, known in TORCH_DTYPES.items():
        if known == dtype:
            return datatype
    raise _wrong(f"{name!r} is of {dtype}, which the protocol has no datatype for", "convert it")


def _wrong(problem: str, remedy: str) -> OptimizeError:
    return OptimizeError(step="aot-inductor", problem=problem, remedy=remedy)
