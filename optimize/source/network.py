"""A trained network: a ``torch.nn.Module`` with what the export and the server need to know of it.

A source returns the module itself, or a mapping with ``module`` and, for text, ``tokenizer``.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from optimize.errors import OptimizeError
from optimize.rows import Input
from serve.backends.tokenizer import COLUMNS, IDS, TextEncoder
from serve.errors import RepositoryError
from serve.tensors import Array, datatype_of

__all__ = ["Network", "as_network", "is_module"]

CHUNK_ROWS = 64
"""Rows that the module is asked at once, so that memory does not grow with the data."""
OUTPUT = "output"
"""Name of the one output of a module that names none."""
KEYS = ("module", "classes", "tokenizer", "max_length", "input")
TEXT = "text"
"""Name of the input of a network with a tokenizer, unless the source gives another."""


@dataclass(frozen=True)
class TextInput:
    """What makes token ids of a text: the contents of a ``tokenizer.json``, and how it is used."""

    tokenizer: str
    max_length: int
    name: str


@dataclass(frozen=True)
class Network:
    """A module in evaluation mode; ``classes_`` in the order of its scores, where it has any.

    ``outputs`` are the names that model.yaml declares, for a module whose own answer has none;
    ``variable`` has the dimensions, beside the batch, in which an input's rows differ.
    """

    module: Any
    outputs: tuple[str, ...] = ()
    variable: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    classes_: tuple[Any, ...] | None = None
    text: TextInput | None = None

    def inputs(self, features: Any) -> tuple[Input, ...]:
        """The served inputs, which are the arguments of ``forward``, in its order.

        Raises:
            OptimizeError: the features are not what ``forward`` takes.
        """
        return tuple(
            Input(name, "BYTES", (-1, 1), "", "")
            if self.text is not None and name == self.text.name
            else Input(name, datatype_of(array), self._shape(name, array))
            for name, array in self.arrays(features).items()
        )

    def arrays(self, features: Any) -> dict[str, Array]:
        """The features by argument of ``forward``, in its order; FP64 becomes FP32 as weights are.

        The text of a network with a tokenizer comes first, in place of its tokens.

        Raises:
            OptimizeError: the features are not what ``forward`` takes.
        """
        arguments = self.arguments()
        if self.text is not None:
            taken = {name: needed for name, needed in arguments.items() if name not in COLUMNS}
            arguments = {self.text.name: True, **taken}
        given = _by_name(features, arguments)
        double = any(str(each.dtype) == "torch.float64" for each in self.module.parameters())
        return {
            name: array.astype(np.float32) if array.dtype == np.float64 and not double else array
            for name, array in given.items()
        }

    def arguments(self) -> dict[str, bool]:
        """The arguments of ``forward`` by name, and whether each has to be given."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {
            each.name: each.default is inspect.Parameter.empty
            for each in inspect.signature(self.module.forward).parameters.values()
            if each.kind in kinds
        }

    def answer(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """What the module answers to rows, by output name, in eager mode."""
        rows = len(next(iter(arrays.values())))
        encoder = self.encoder()
        if rows <= CHUNK_ROWS:
            return self._run(arrays, encoder)
        order = np.arange(rows)
        if self.text is not None:  # those of about one length together, so that little is padding
            order = np.argsort([len(item) for item in arrays[self.text.name].ravel()])
        parts = [
            self._run(
                {name: array[order[start : start + CHUNK_ROWS]] for name, array in arrays.items()},
                encoder,
            )
            for start in range(0, rows, CHUNK_ROWS)
        ]
        back = np.argsort(order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}

    def encoder(self) -> TextEncoder | None:
        """The tokenizer, loaded; None where the network takes no text."""
        return None if self.text is None else _encoder(self.text)

    def tokenised(
        self, arrays: Mapping[str, Array], encoder: TextEncoder | None
    ) -> dict[str, Array]:
        """The arrays that ``forward`` takes: tokens, padded to the longest, in place of text."""
        if self.text is None or encoder is None:
            return dict(arrays)
        texts = [
            item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
            for item in arrays[self.text.name].ravel().tolist()
        ]
        names = [name for name in COLUMNS if name in self.arguments()]
        others = {name: array for name, array in arrays.items() if name != self.text.name}
        return {**encoder.columns(encoder.encode(texts), names), **others}

    def _run(self, arrays: Mapping[str, Array], encoder: TextEncoder | None) -> dict[str, Array]:
        import torch

        # A copy: an array may be a view of what must not be written to.
        tensors = {
            name: torch.from_numpy(np.array(array))
            for name, array in self.tokenised(arrays, encoder).items()
        }
        with torch.inference_mode():
            answer = self.named(self.module(**tensors))
        return {name: tensor.numpy() for name, tensor in answer.items()}

    def named(self, answer: Any) -> dict[str, Any]:
        """The tensors of the module's answer by output name.

        Raises:
            OptimizeError: there is no name for them, or what it answers are no tensors.
        """
        import torch

        if isinstance(answer, Mapping):
            found = dict(answer)
        elif hasattr(answer, "_fields"):
            found = dict(zip(answer._fields, answer, strict=True))
        elif isinstance(answer, tuple | list):
            names = self.outputs or [f"{OUTPUT}_{index}" for index in range(len(answer))]
            if len(names) != len(answer):
                raise _wrong(
                    f"it returns {len(answer)} tensors, and model.yaml names {len(names)} outputs",
                    "name each of them in `outputs`, or return a dict",
                )
            found = dict(zip(names, answer, strict=True))
        else:
            found = {self.outputs[0] if len(self.outputs) == 1 else OUTPUT: answer}
        for name, value in found.items():
            if not isinstance(value, torch.Tensor):
                raise _wrong(
                    f"output {name!r} is a {type(value).__name__}, no tensor",
                    "return a tensor, a tuple of tensors, or a dict of tensors by name",
                )
        return found

    def _shape(self, name: str, array: Array) -> tuple[int, ...]:
        variable = self.variable.get(name, ())
        inner = enumerate(array.shape[1:], start=1)
        return (-1, *(-1 if place in variable else size for place, size in inner))


def is_module(model: Any) -> bool:
    """Whether it is a ``torch.nn.Module``; loads no torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def as_network(
    model: Any, folder: Path, outputs: Sequence[str], variable: Mapping[str, Sequence[int]]
) -> Any:
    """A ``Network`` of a module, or of a mapping that has one; any other model as it is.

    Raises:
        OptimizeError: the mapping is not what docs/optimize.md says.
    """
    parts = model if isinstance(model, Mapping) else {"module": model}
    module: Any = parts.get("module")
    if not is_module(module):
        if isinstance(model, Mapping) and "module" in model:
            raise _wrong("`module` is no torch.nn.Module", "return {'module': your module, ...}")
        return model
    unknown = sorted(set(parts) - set(KEYS))
    if unknown:
        raise _wrong(f"the mapping has {unknown[0]!r}", f"it may have: {', '.join(KEYS)}")
    module.to("cpu")
    with contextlib.suppress(NotImplementedError):  # a program has no other mode than its own
        module.eval()
    places = {name: tuple(each) for name, each in variable.items()}
    classes = parts.get("classes")
    made = Network(
        module,
        tuple(outputs),
        places,
        None if classes is None else tuple(classes),
        _text_input(parts, folder),
    )
    if made.text is not None and IDS not in made.arguments():
        raise _wrong(
            f"it has a tokenizer, but forward takes no {IDS}",
            f"name its arguments {', '.join(COLUMNS)}; the last two may be left out",
        )
    return made


@lru_cache(maxsize=2)
def _encoder(text: TextInput) -> TextEncoder:
    return TextEncoder(text.tokenizer, text.max_length, "tokenizer")


def _text_input(parts: Mapping[str, Any], folder: Path) -> TextInput | None:
    given = parts.get("tokenizer")
    if given is None:
        return None
    if hasattr(given, "to_str"):  # a tokenizers.Tokenizer
        given = given.to_str()
    text = str(given)
    if not text.lstrip().startswith("{"):
        path = folder / text
        if not path.is_file():
            raise _wrong(
                f"there is no tokenizer {path}",
                "give the tokenizer.json that the `tokenizers` library saved: its path, its"
                " contents, or the Tokenizer itself",
            )
        text = path.read_text(encoding="utf-8")
    try:
        encoder = TextEncoder(text, parts.get("max_length"), "tokenizer")
    except RepositoryError as error:
        raise _wrong(f"the tokenizer {error.problem}", error.remedy) from error
    return TextInput(text, encoder.max_length, parts.get("input", TEXT))


def _by_name(features: Any, arguments: Mapping[str, bool]) -> dict[str, Array]:
    if isinstance(features, np.ndarray):
        features = {next(iter(arguments), "input"): features}
    if hasattr(features, "columns"):
        features = {str(name): features[name].to_numpy() for name in features.columns}
    if not isinstance(features, Mapping):
        raise _wrong(
            f"its data are a {type(features).__name__}",
            "give an .npz or a mapping with an array for each argument of forward: "
            + ", ".join(arguments),
        )
    unknown = [name for name in features if name not in arguments]
    absent = [name for name, needed in arguments.items() if needed and name not in features]
    if unknown or absent:
        what = f"have {unknown[0]!r}" if unknown else f"lack {absent[0]!r}"
        raise _wrong(
            f"the data {what}; forward takes {', '.join(arguments)}",
            "name the arrays as the arguments, and optimize.data.target as the one of the target",
        )
    return {name: np.asarray(features[name]) for name in arguments if name in features}


def _wrong(problem: str, remedy: str) -> OptimizeError:
    return OptimizeError(step="source", problem=problem, remedy=remedy)
