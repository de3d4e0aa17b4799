"""Models whose source is a registry, kept at the version that it stands for."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

from serve.config.source import RegistryReference
from serve.errors import PenstockError
from serve.registry.client import OpenRegistry, Registered, Registry
from serve.registry.pull import pull, source_of_model
from serve.repository.scan import model_folders
from serve.repository.source import SOURCE_STATE

__all__ = ["SourceFollower"]

log = logging.getLogger("penstock.registry")

MODEL_YAML = "model.yaml"
LONGEST_PAUSE = 63
"""Looks: half an hour, at the default."""
Mark = tuple[int, int, int]


@dataclass
class _Failed:
    """A version that could not be pulled: it is tried again ever more rarely, because a try may
    download and convert gigabytes. ``pause`` is how many looks leave it out."""

    registered: Registered
    pause: int = 0
    left_out: int = 0
    error: PenstockError = field(default_factory=PenstockError)

    def again(self, error: PenstockError) -> None:
        """One more try has failed."""
        self.error = error
        self.pause = min(LONGEST_PAUSE, 2 * self.pause + 1)
        self.left_out = 0


class SourceFollower:
    """Asks the registry, and pulls what is another version. One thread at a time calls it."""

    def __init__(self, root: Path, connect: OpenRegistry) -> None:
        self._root = root
        self._connect = connect
        self._registry: Registry | None = None
        self._said: dict[str, str] = {}
        self._references: dict[str, tuple[Mark, RegistryReference | None]] = {}
        self._done: dict[str, tuple[RegistryReference, Registered, Path]] = {}
        self._failed: dict[str, _Failed] = {}

    def look(self) -> None:
        """Follow every model once; blocks while it asks and downloads.

        Never raises: what is wrong is logged once, and what is served goes on. The pulled version
        is loaded by whoever watches the folder.
        """
        try:
            folders = self._with_source()
            if not folders:
                return
            if self._registry is None:
                self._registry = self._connect()
        except Exception as error:  # noqa: BLE001 - it is asked again at the next look
            self._say("", error)
            return
        self._said.pop("", None)
        for folder, reference in folders.items():
            try:
                self._follow(folder, reference, self._registry)
                self._said.pop(folder.name, None)
            except Exception as error:  # noqa: BLE001 - one model's must not stop the others
                self._say(folder.name, error)

    def start(self, every_s: float) -> threading.Event:
        """Look at once and then so often, in a thread, until the event is set.

        No request waits for it; and nobody for the thread, which may hang with its registry.
        """
        over = threading.Event()

        def run() -> None:
            self.look()
            while not over.wait(every_s):
                self.look()

        threading.Thread(target=run, name="penstock-registry", daemon=True).start()
        return over

    def _follow(self, folder: Path, reference: RegistryReference, registry: Registry) -> None:
        registered = registry.resolve(reference)
        done = self._done.get(folder.name)
        if done is not None and done[:2] == (reference, registered):
            if done[2].is_dir() and (folder / SOURCE_STATE).is_file():
                return
            log.info("what was pulled for model '%s' is gone: pulling it again", folder.name)
        failed = self._failed.get(folder.name)
        if failed is None or failed.registered != registered:
            failed = self._failed[folder.name] = _Failed(registered)
        if failed.left_out < failed.pause:
            failed.left_out += 1
            raise failed.error
        try:
            pulled = pull(folder, registry)
        except PenstockError as error:
            failed.again(error)
            raise
        del self._failed[folder.name]
        self._done[folder.name] = (pulled.reference, pulled.registered, pulled.version)
        what = f"{pulled.reference} is version {pulled.registered.number}"
        log.info("%s, %s %s", what, "pulled to" if pulled.new else "which is", pulled.version)

    def _with_source(self) -> dict[Path, RegistryReference]:
        """The model folders that have a source; each model.yaml is read when it has changed."""
        found: dict[Path, RegistryReference] = {}
        for folder in model_folders(self._root):
            try:
                seen = (folder / MODEL_YAML).stat()
            except OSError:
                continue
            mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
            known = self._references.get(folder.name)
            if known is None or known[0] != mark:
                known = self._references[folder.name] = (mark, _reference(folder))
            if known[1] is not None:
                found[folder] = known[1]
        return found

    def _say(self, model: str, error: Exception) -> None:
        """Log a problem when it is another than at the look before."""
        what = (
            str(error) if isinstance(error, PenstockError) else f"{type(error).__name__}: {error}"
        )
        if self._said.get(model) != what:
            self._said[model] = what
            of = f"the source of model '{model}'" if model else "the registry"
            log.error("%s cannot be followed, what is served goes on: %s", of, what)


def _reference(folder: Path) -> RegistryReference | None:
    """What a model's source refers to; None: it has none, or its settings cannot be read, which
    is said where it is served."""
    try:
        return source_of_model(folder)
    except PenstockError:
        return None
