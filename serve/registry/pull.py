"""From a registered version to the next numbered folder of a model, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serve.config.source import RegistryReference, parse_reference
from serve.registry.client import Registered, Registry, problem_with
from serve.registry.package import lay_out
from serve.repository.files import reason_of
from serve.repository.manifest import MANIFEST
from serve.repository.scan import model_folders, read_settings
from serve.repository.source import (
    SourceState,
    read_source_state,
    write_source_state,
)
from serve.repository.versions import version_folders

__all__ = ["Pulled", "pull", "source_of_model", "sources_in"]

STAGING = ".pull-"
LOCK = ".pull.lock"


@dataclass(frozen=True, slots=True)
class Pulled:
    """The version that a model's source stands for; ``new``: it was not here before."""

    reference: RegistryReference
    registered: Registered
    version: Path
    new: bool


def sources_in(root: Path) -> list[Path]:
    """The model folders of a repository that have a source.

    Raises:
        RepositoryError: the repository cannot be read.
    """
    found = []
    for folder in model_folders(root):
        with contextlib.suppress(Exception):  # a broken model.yaml is told of where it is served
            if read_settings(folder)[0].config.source is not None:
                found.append(folder)
    return found


def source_of_model(folder: Path) -> RegistryReference:
    """What the ``source`` of a model refers to.

    Raises:
        RepositoryError: its settings cannot be read, or have none.
    """
    source = read_settings(folder)[0].config.source
    if source is None:
        raise problem_with(
            folder / "model.yaml",
            "has no `source`, so there is nothing to pull",
            "add one, as in `source: models:/fraud@champion`",
        )
    return parse_reference(source)


def pull(folder: Path, registry: Registry) -> Pulled:
    """Bring the version that the model's source stands for now, unless it is here already.

    It is made in a hidden folder, and has its number when it is whole: that of the registry,
    or the next one here where that is taken by another. Blocks; several may pull at once.

    Raises:
        RepositoryError: there is no such version, it did not come whole, it cannot be converted,
            or another process pulls this model.
    """
    reference = source_of_model(folder)
    registered = registry.resolve(reference)
    try:
        with _alone(folder):
            version = _find(folder, registered)
            new = version is None
            if version is None:
                version = _bring(folder, reference, registered, registry)
            state = SourceState(source=str(reference), number=int(version.name))
            if read_source_state(folder) != state:
                write_source_state(folder, state)
    except OSError as error:
        remedy = f"let {folder} be written to, and pull again"
        if error.errno == errno.ENOSPC:
            remedy = f"make room on the disk of {folder}, and pull again"
        raise problem_with(
            reference, f"cannot be put into {folder}: {reason_of(error)}", remedy
        ) from error
    return Pulled(reference, registered, version, new)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One pull of a model at a time; what a killed one left behind is swept away."""
    with open(folder / LOCK, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise problem_with(
                folder, "another process is pulling this model", "wait until it is done"
            ) from None
        for left in folder.glob(f"{STAGING}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _bring(
    folder: Path, reference: RegistryReference, registered: Registered, registry: Registry
) -> Path:
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
    try:
        download, version = staging / "download", staging / "version"
        download.mkdir()
        version.mkdir()
        files = registry.download(registered, download)
        taken = version_folders(folder)
        number = registered.number
        if number in taken:
            number = max(taken) + 1
        origin = {
            "registry": registry.where,
            "reference": str(reference),
            "model": registered.name,
            "version": registered.number,
            "run_id": registered.run_id,
            "created_ms": registered.created_ms,
            "uri": registered.uri,
        }
        lay_out(files, version, folder.name, number, origin)
        version.chmod(0o755)
        version.rename(folder / str(number))
        return folder / str(number)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _find(folder: Path, registered: Registered) -> Path | None:
    """The folder that was made of this version before."""
    wanted = (registered.name, registered.number, registered.created_ms)
    for path in reversed(version_folders(folder).values()):
        try:
            origin = json.loads((path / MANIFEST).read_text())["lineage"]["registry"]
            if (origin["model"], origin["version"], origin["created_ms"]) == wanted:
                return path
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
