"""What is asked of a model registry, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from serve.config.source import RegistryReference
from serve.errors import RepositoryError

__all__ = ["OpenRegistry", "Package", "Registered", "Registry", "problem_with"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a registered model. ``created_ms`` tells it from one of the same number in
    another registry, or in a model that was deleted and made again."""

    name: str
    number: int
    run_id: str
    created_ms: int
    uri: str
    """Where its files are, as the registry says."""


@dataclass(frozen=True, slots=True)
class Package:
    """What is registered: ``files`` in ``folder``, with what is known of them.

    ``digest`` is of their contents: the same package is registered once. ``artefact`` is the one
    that is served, relative to the folder.
    """

    folder: Path
    files: tuple[Path, ...]
    digest: str
    artefact: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry(Protocol):
    """A registry; every call blocks, and raises RepositoryError with a remedy."""

    @property
    def where(self) -> str:
        """Its address, without credentials."""

    def resolve(self, reference: RegistryReference) -> Registered:
        """The version that a reference stands for now; cheap enough to be asked often.

        Raises:
            RepositoryError: there is no such model, alias or version, or no registry.
        """

    def download(self, version: Registered, folder: Path) -> Path:
        """Bring all files of a version into ``folder``, which is empty; the folder they are in.

        Raises:
            RepositoryError: they did not come, or not whole.
        """

    def register(self, name: str, package: Package, alias: str = "") -> tuple[Registered, bool]:
        """Make a version of ``name``, and the model if need be; whether the version is new.

        Raises:
            RepositoryError: it could not be done; may be tried again.
        """


class OpenRegistry(Protocol):
    """How a registry is connected to; importing its client takes a second."""

    def __call__(self) -> Registry:
        """Raises RepositoryError: its client is not installed, or the address is none."""


def problem_with(what: object, problem: str, remedy: str) -> RepositoryError:
    """The error of a source or a remote repository, told as those of files are."""
    return RepositoryError(path=str(what), problem=problem, remedy=remedy)
