"""The files of an artefact's folder: which one is served, and what an export says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optimize.steps.base import COMPILED, EXPORT, MODEL
from serve.backends.pt2_file import Pt2Signature

__all__ = ["SERVED", "export_details", "exported_signature", "served_file"]

SERVED = (MODEL, COMPILED)
"""Names of the file that is served; an artefact has one of them, an export of a network none where
ONNX cannot express it."""


def served_file(folder: Path) -> Path | None:
    """The file that is served; None if there is only a program, to be compiled."""
    return next((folder / name for name in SERVED if (folder / name).is_file()), None)


def export_details(folder: Path) -> dict[str, Any]:
    """What the export of a network wrote of itself: ``opset`` or ``no_onnx``, ``signature`` or
    ``no_program``; empty for any other model."""
    path = folder / EXPORT
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def exported_signature(folder: Path) -> Pt2Signature | None:
    """The signature of an export's program, where it has one that can be compiled."""
    found = export_details(folder).get("signature")
    return None if found is None else Pt2Signature.model_validate(found)
