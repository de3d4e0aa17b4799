"""What a repository says of a model at this moment, for whoever decides about its versions."""

from __future__ import annotations

from pathlib import Path

from serve.config import ModelConfig
from serve.errors import NotFound
from serve.repository.config_pbtxt import CONFIG_PBTXT
from serve.repository.files import shown
from serve.repository.scan import MODEL_YAML, is_reserved, read_settings
from serve.repository.source import SOURCE_STATE
from serve.repository.versions import version_folders

__all__ = ["Catalogue"]


Marks = tuple[tuple[int, ...] | None, ...]


class Catalogue:
    """Looks into the folder of a model. Every method blocks on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._read: dict[str, tuple[Marks, ModelConfig]] = {}

    def config(self, model: str) -> ModelConfig:
        """The settings in the folder of a model; files that look the same are not read again.

        Raises:
            NotFound: there is no such folder.
            RepositoryError: its settings are wrong.
        """
        try:
            folder = self._folder(model)
        except NotFound:
            self._read.pop(model, None)
            raise
        marks = _marks(folder)
        marks_then, config = self._read.get(model, ((), None))
        if config is None or marks_then != marks:
            config = read_settings(folder)[0].config
            self._read[model] = marks, config
        return config

    def versions(self, model: str) -> tuple[int, ...]:
        """The numbered folders of a model, ascending.

        Raises:
            NotFound: there is no such folder.
        """
        return tuple(version_folders(self._folder(model)))

    def _folder(self, model: str) -> Path:
        plain = model.isprintable() and "/" not in model and model not in ("", ".", "..")
        if plain and not is_reserved(model) and (self._root / model).is_dir():
            return self._root / model
        raise NotFound(f"Request for unknown model: {shown(model)} is not found")


def _marks(folder: Path) -> Marks:
    """What the files that settings are read from look like from outside; None: one is not there."""
    marks: list[tuple[int, ...] | None] = []
    for name in (MODEL_YAML, CONFIG_PBTXT, SOURCE_STATE):
        try:
            seen = (folder / name).stat()
            marks.append((seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
        except OSError:
            marks.append(None)
    return tuple(marks)
