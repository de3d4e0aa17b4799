"""What every step made, by a hash of all that it was made from.

A finished step is a folder named by its key; a step at work writes elsewhere and is renamed when
it is done, so that a key that is there is whole. A second run finds its steps and does nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Cache", "code_digest", "digest", "files_digest", "library_versions"]

LIBRARIES = (
    "lightgbm",
    "numpy",
    "onnx",
    "onnxmltools",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxscript",
    "pandas",
    "scikit-learn",
    "skl2onnx",
    "tokenizers",
    "torch",
    "transformers",
    "xgboost",
)
ROOT = Path(__file__).resolve().parents[1]


class Cache:
    """The folder of one model's finished steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> Path | None:
        """The folder of a finished step."""
        path = self.folder / key
        return path if path.is_dir() else None

    def begin(self, key: str) -> Path:
        """An empty folder to work in; what an earlier run left half done is dropped."""
        path = self.folder / f".{key}.{os.getpid()}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def finish(self, key: str, work: Path) -> Path:
        """Keep a folder that is complete."""
        path = self.folder / key
        work.rename(path)
        return path

    def drop(self, key: str) -> None:
        """Forget a step, as one whose measurement says nothing."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what runs that were killed left behind; only with the model's lock held."""
        for path in self.folder.glob(".*.*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def digest(*parts: Any) -> str:
    """A short hash of anything that JSON can write."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def files_digest(paths: Iterable[Path]) -> str:
    """A hash of the contents and names of files."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(path.name.encode() + b"\0")
        with open(path, "rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:24]


def code_digest() -> str:
    """A hash of the code that makes and measures candidates."""
    folders = (ROOT / "optimize", ROOT / "serve" / "backends")
    return files_digest(path for folder in folders for path in folder.rglob("*.py"))


def library_versions() -> dict[str, str]:
    """Versions of what decides the results, without importing any of it."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
