"""A new model folder around a file: what ``penstock init NAME --from FILE`` makes."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from serve.errors import AlreadyExists, RepositoryError
from serve.repository.files import reason_of, shown
from serve.repository.scan import is_reserved

__all__ = ["create"]

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")

ARTEFACT_OF_SUFFIX: Mapping[str, str] = {".onnx": "model.onnx", ".py": "model.py"}

EXPORTERS: Mapping[str, str] = {
    ".joblib": "skl2onnx",
    ".pickle": "skl2onnx",
    ".pkl": "skl2onnx",
    ".json": "onnxmltools",
    ".txt": "onnxmltools",
    ".ubj": "onnxmltools",
    ".pt": "torch.onnx.export",
    ".pt2": "torch.onnx.export",
    ".pth": "torch.onnx.export",
    ".keras": "tf2onnx",
    ".h5": "tf2onnx",
}
"""What makes ONNX of a file that is not served as it is."""

MODEL_YAML = """\
# How `{name}` is served. Every field is optional; `penstock schema` describes them all, and
# `penstock check` says what is wrong with them.

owner: ""        # who answers for it: a team or an address
description: ""  # what it decides, in a sentence

batching:
  # Most rows in a batch. Left out: 128 where the model's first dimension is symbolic, else 0,
  # which is no batching.
  # max_batch_size: 128

  # How long a batch may wait for more rows while the model is idle. At 0 it never does: batches
  # form by themselves while the model is busy.
  max_queue_delay_ms: 0

  # Most rows that wait. What comes beyond it is refused at once, with a hint when to try again.
  max_queue_rows: 8192

slo:
  # What callers were promised. With it, a request that would take longer is refused at once, so
  # that those which are accepted stay inside it however great the load.
  # latency_ms: 100

  # Deadline of a request that brings none of its own.
  timeout_ms: 60000

versions:
  policy: latest  # the highest number; or `all`, or `specific` with `numbers: [1, 3]`
"""

TENSORS_YAML = """
# What model.py takes and gives, which its file cannot tell: the name, datatype and shape of each
# tensor. A -1 in front everywhere is the rows of a batch.
# inputs:
#   x: {{datatype: FP32, shape: [-1, 4]}}
# outputs:
#   y: {{datatype: FP32, shape: [-1]}}
"""

README = """\
# {name}

## Owner
Who answers for it, and where to reach them.

## Business metric
The figure that this model moves, how it is measured, and what a wrong answer costs.

## Data
What it was trained on: source, period, size, how labels were made, what was left out.

## Inputs and outputs
Each by name: its meaning, unit and range, and what is sent where it is missing.

## Evaluation
Metrics on data that was not trained on, overall and for the groups that matter.

## Limits
Where it must not be used, and what it is known to get wrong.

## Versions
- `1`: made from `{source}`.
"""


def create(name: str, source: Path, repository: Path) -> list[Path]:
    """Make ``repository/name`` with a copy of ``source`` as version 1; returns the files made.

    The folder is built aside and renamed, so that a server that polls never sees half of it.

    Raises:
        AlreadyExists: the folder is there.
        RepositoryError: the name, the file or the repository will not do.
    """
    _check_name(name)
    artefact = _artefact_name(source)
    folder = repository / name
    if folder.exists() or folder.is_symlink():
        raise _already(folder)
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".init-", dir=repository) as scratch:
            # Inside the private scratch folder, so that this one has ordinary permissions.
            built = Path(scratch) / name
            files = _build(built, name, source, artefact)
            _move(built, folder)
    except OSError as error:
        raise RepositoryError(
            path=str(error.filename or repository),
            problem=f"cannot be read or written: {reason_of(error)}",
            remedy="check its permissions and the space on the disk",
        ) from error
    return [folder / file for file in files]


def _check_name(name: str) -> None:
    if NAME.fullmatch(name) is None or is_reserved(name):
        raise RepositoryError(
            path=shown(name),
            problem="cannot be the name of a model",
            remedy="use up to 128 of A-Z a-z 0-9 . _ -, not beginning with a dot",
        )


def _artefact_name(source: Path) -> str:
    """What the file is called in its version folder."""
    suffix = source.suffix.lower()
    if suffix not in ARTEFACT_OF_SUFFIX:
        remedy = "give an .onnx file, or a .py file with a Python model"
        if suffix in EXPORTERS:
            remedy += f"; {EXPORTERS[suffix]} makes ONNX of such a file"
        raise RepositoryError(
            path=str(source), problem="is of a type that is not served", remedy=remedy
        )
    if not source.is_file():
        problem = "is no file" if source.exists() else "does not exist"
        raise RepositoryError(path=str(source), problem=problem, remedy="give the model's file")
    return ARTEFACT_OF_SUFFIX[suffix]


def _build(folder: Path, name: str, source: Path, artefact: str) -> list[Path]:
    """Write everything below ``folder``; returns the files relative to it."""
    version = folder / "1"
    version.mkdir(parents=True)
    shutil.copyfile(source, version / artefact)
    files = [Path("1") / artefact]
    # Weights that ONNX keeps beside the graph; the graph names them, so their name stays.
    for companion in (f"{source.name}.data", f"{source.name}_data"):
        if artefact.endswith(".onnx") and source.with_name(companion).is_file():
            shutil.copyfile(source.with_name(companion), version / companion)
            files.append(Path("1") / companion)
    settings = MODEL_YAML if artefact.endswith(".onnx") else MODEL_YAML + TENSORS_YAML
    for file, text in (("model.yaml", settings), ("README.md", README)):
        text = text.format(name=name, source=source.name)
        (folder / file).write_text(text, encoding="utf-8")
        files.append(Path(file))
    return files


def _move(built: Path, folder: Path) -> None:
    try:
        os.rename(built, folder)
    except OSError as error:
        if folder.exists():  # somebody else's came first
            raise _already(folder) from error
        raise


def _already(folder: Path) -> AlreadyExists:
    return AlreadyExists(f"{folder} is there already; choose another name, or remove it first")
