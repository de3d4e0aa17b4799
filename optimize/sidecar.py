"""The tokenizer beside a graph: written with the export, carried from step to step, packaged."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from serve.backends.pt2_file import read_pt2
from serve.backends.tokenizer import COLUMNS, TextEncoder
from serve.config import Tokenizer
from serve.tensors import Array

__all__ = ["TOKENIZER", "carry_sidecars", "graph_inputs", "tokenizer_of", "write_tokenizer"]

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_settings.json"
"""How the tokenizer is used: what the manifest will say of it."""


def write_tokenizer(folder: Path, text: str, input_name: str, max_length: int) -> None:
    """Put a tokenizer beside the graph in ``folder``."""
    (folder / TOKENIZER).write_text(text, encoding="utf-8")
    settings = Tokenizer(file=TOKENIZER, input=input_name, max_length=max_length)
    (folder / SETTINGS).write_text(settings.model_dump_json())


def carry_sidecars(source: Path, target: Path) -> None:
    """Copy what lies beside the graph of one artefact to another that is made of it."""
    for name in (TOKENIZER, SETTINGS):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)


def tokenizer_of(folder: Path) -> Tokenizer | None:
    """The settings of an artefact's tokenizer; None if it takes no text."""
    path = folder / SETTINGS
    return Tokenizer.model_validate_json(path.read_text()) if path.exists() else None


def graph_inputs(graph: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What a graph itself takes: of text its tokens, padded to the longest of all rows."""
    settings = tokenizer_of(graph.parent)
    if settings is None:
        return dict(inputs)
    path = graph.parent / settings.file
    encoder = TextEncoder(path.read_text(encoding="utf-8"), settings.max_length, str(path))
    texts = [item.decode("utf-8", "replace") for item in inputs[settings.input].ravel().tolist()]
    encoded = encoder.encode(texts)
    taken = _names(graph)
    others = {name: array for name, array in inputs.items() if name != settings.input}
    return {**encoder.columns(encoded, [name for name in taken if name in COLUMNS]), **others}


def _names(graph: Path) -> list[str]:
    """The inputs of a graph, or of what was compiled of a program."""
    if graph.suffix == ".pt2":
        signature = read_pt2(graph).signature
        return [] if signature is None else [tensor.name for tensor in signature.inputs]
    import onnx

    return [value.name for value in onnx.load(graph, load_external_data=False).graph.input]
