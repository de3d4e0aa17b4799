"""What a served version is made of: while that is the same, nothing has to be loaded again."""

from __future__ import annotations

from dataclasses import dataclass

from serve.config import ModelConfig
from serve.repository.entry import Mark, ModelEntry, VersionEntry

__all__ = ["Identity", "identity_of", "with_model_settings"]

OF_THE_MODEL = (
    "owner",
    "description",
    "versions",
    "labels",
    "traffic",
    "optimize",
    "autoscaling",
    "source",
)
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
    config = with_model_settings(entry.config, ModelConfig())
    return Identity(config, str(version.artefact), version.files, entry.beside)


def with_model_settings(config: ModelConfig, model: ModelConfig) -> ModelConfig:
    """The settings of a version that stays, with those of its model as a whole as they are now."""
    return config.model_copy(update={name: getattr(model, name) for name in OF_THE_MODEL})
