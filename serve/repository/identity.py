"""What a served version is made of: while that is the same, nothing has to be loaded again."""

from __future__ import annotations

from dataclasses import dataclass

from serve.config import ModelConfig
from serve.repository.entry import Mark, ModelEntry, VersionEntry

__all__ = ["Identity", "identity_of"]

NOT_OF_A_VERSION = ("owner", "description", "versions", "optimize", "autoscaling")
"""Settings of the model as a whole, or for people: no loaded version changes with them."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The settings and files of a version. Files count by what the disk tells of them."""

    config: ModelConfig
    artefact: str
    files: tuple[Mark, ...]
    beside: tuple[Mark, ...]


def identity_of(entry: ModelEntry, version: VersionEntry) -> Identity:
    """What a version is made of."""
    defaults = ModelConfig()
    settings = {name: getattr(defaults, name) for name in NOT_OF_A_VERSION}
    config = entry.config.model_copy(update=settings)
    return Identity(config, str(version.artefact), version.files, entry.beside)
