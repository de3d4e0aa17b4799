"""What a model's folder looks like from outside: which files, how large, from when.

Two looks that see the same have seen the same contents, as far as the disk tells without reading
them. Nothing here opens a file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from serve.repository.entry import Mark
from serve.repository.source import SOURCE_STATE
from serve.repository.versions import version_folders

__all__ = ["ModelPrint", "model_print"]

IGNORED_FOLDERS = frozenset({"__pycache__"})
CARDS = ".md"
"""Model cards are for people: rewriting one changes no answer."""


@dataclass(frozen=True, slots=True)
class ModelPrint:
    """``beside`` are the files in the model's own folder, ``versions`` those of each version.

    Hidden files, model cards and compiled Python count for nothing, except for ``.source.json``.
    """

    beside: tuple[Mark, ...] = ()
    versions: Mapping[int, tuple[Mark, ...]] = field(default_factory=dict)

    def without(self, hidden: Iterable[int]) -> ModelPrint:
        """The same, as if these versions were not there."""
        left = {n: marks for n, marks in self.versions.items() if n not in set(hidden)}
        return replace(self, versions=left)


def model_print(folder: Path) -> ModelPrint | None:
    """How a model's folder looks now; None: it is not there. Blocks on the disk.

    Raises:
        OSError: the folder is there, and cannot be read.
    """
    try:
        beside = [path for path in folder.iterdir() if not path.is_dir()]
        versions = version_folders(folder)
    except FileNotFoundError:
        return None
    return ModelPrint(
        _marks(folder, (path for path in beside if path.suffix != CARDS)),
        {number: _marks(path, _files(path)) for number, path in versions.items()},
    )


def _files(folder: Path) -> Iterable[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [n for n in folders if n not in IGNORED_FOLDERS and not n.startswith(".")]
        for name in names:
            yield Path(parent, name)


def _marks(folder: Path, paths: Iterable[Path]) -> tuple[Mark, ...]:
    return tuple(
        sorted(
            (str(path.relative_to(folder)), *_stat(path))
            for path in paths
            if not path.name.startswith(".") or path.name == SOURCE_STATE
        )
    )


def _stat(path: Path) -> tuple[int, int, int]:
    """Size, time and number; of what cannot be looked at, numbers that no file has."""
    try:
        found = path.stat()
    except OSError:
        return -1, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ino
