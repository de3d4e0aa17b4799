"""What a repository says of a model at this moment, for whoever decides about its versions."""

from __future__ import annotations

from pathlib import Path

from serve.config import ModelConfig
from serve.errors import NotFound
from serve.repository.files import shown
from serve.repository.scan import is_reserved, read_settings
from serve.repository.versions import version_folders

__all__ = ["Catalogue"]


class Catalogue:
    """Looks into the folder of a model. Every method blocks on the disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def config(self, model: str) -> ModelConfig:
        """The settings in the folder of a model.

        Raises:
            NotFound: there is no such folder.
            RepositoryError: its settings are wrong.
        """
        settings, _, _ = read_settings(self._folder(model))
        return settings.config

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
