"""What a scan finds: models that can be loaded, and folders that cannot, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serve.config import ModelConfig
from serve.errors import RepositoryError

__all__ = ["BrokenModel", "Mark", "ModelEntry", "Repository", "VersionEntry"]

Mark = tuple[str, int, int, int]
"""A file as the disk tells of it: path in its folder, bytes, last change in ns, number."""


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A numbered folder: its artefact and the backend that serves it; ``files`` are all in it."""

    number: int
    folder: Path
    artefact: Path
    backend: str
    files: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model folder that can be loaded.

    ``versions`` are those to be served, ascending, at least one; ``broken_versions`` those that
    the policy would have served and that cannot be. ``config_file`` is None where the folder has
    no settings. A warning is a sentence for the log, one for each thing. ``beside`` are the files
    in the model's own folder that hold no settings.
    """

    name: str
    folder: Path
    config: ModelConfig
    config_file: Path | None
    versions: tuple[VersionEntry, ...]
    broken_versions: Mapping[int, RepositoryError] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    beside: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class BrokenModel:
    """A model folder of which nothing can be served; ``unbuilt``: it is still to be made."""

    name: str
    error: RepositoryError
    unbuilt: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """A whole repository, by model name.

    ``unbuilt`` are models that `penstock optimize` or a script makes, and has not made yet;
    ``ignored`` are folders that hold no model.
    """

    models: Mapping[str, ModelEntry]
    broken: Mapping[str, BrokenModel]
    ignored: tuple[str, ...] = ()
    unbuilt: Mapping[str, BrokenModel] = field(default_factory=dict)
