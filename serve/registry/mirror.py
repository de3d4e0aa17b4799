"""A repository in an object store, kept as a folder on the local disk, from which it is served.

What changes is fetched into a hidden folder and renamed when it is whole and its checksums hold; so
neither a server nor a crash ever meets half of a version.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from serve.errors import PenstockError, RepositoryError
from serve.registry.client import problem_with
from serve.registry.store import Listed, Listing, Store
from serve.repository.files import reason_of, shown
from serve.repository.manifest import MANIFEST, check_files, read_manifest
from serve.repository.versions import VERSION

__all__ = ["Mirror"]

log = logging.getLogger("penstock.registry")

STATE = ".mirror.json"
LOCK = ".mirror.lock"
STAGING = ".fetch-"
OLD = ".old-"
Files = dict[str, Listed]


class Mirror:
    """The local copy of a store in ``folder``. One thread at a time calls it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.folder = folder
        self._store = store
        self._said: set[str] = set()
        self._wrong: dict[str, tuple[Files, str]] = {}
        """Versions that are not what their manifests say, as they are listed, and why."""

    def sync(self) -> int:
        """Make the copy what the store is now; the number of files that were fetched.

        A version that does not come whole stays as it was, and the others go on: that is logged.

        Raises:
            RepositoryError: the store cannot be listed, or is empty; nothing was changed. Or the
                disk cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                return self._follow(self._store.list())
        except OSError as error:
            raise problem_with(
                self.folder,
                f"cannot hold the copy of {self._store.url}: {reason_of(error)}",
                "make room, or name another folder with --repository-cache",
            ) from error

    def is_warm(self) -> bool:
        """Whether there is a copy that can be served without the store."""
        return bool(self._known())

    def _follow(self, listing: Listing) -> int:
        if not listing.files:
            raise problem_with(
                self._store.url,
                "has no model's folder in it",
                "put the models' folders there, or correct the URL",
            )
        problems = {
            f"{self._store.url}: {shown(name)} is no path inside a repository, and is left out"
            for name in listing.refused
        }
        known, wanted = _parts(self._known()), _parts(listing.files)
        fetched = 0
        for part, files in sorted(wanted.items()):
            before = known.get(part, {})
            if before == files and self._is_there(files):
                continue
            if self._wrong.get(part, ({}, ""))[0] == files:
                problems.add(self._wrong[part][1])
                continue
            try:
                fetched += self._bring(part, files, before, listing)
            except (PenstockError, FileExistsError, NotADirectoryError) as error:
                problems.add(f"{part} stays as it was: {error}")
                if isinstance(error, _Wrong):
                    self._wrong[part] = files, f"{part} stays as it was: {error}"
                continue
            self._wrong.pop(part, None)
            self._remove([path for path in before if path not in files])
            known[part] = files
            self._remember(known)
        for part in [part for part in known if part not in wanted]:
            if _is_version(part):
                self._drop(self.folder / part)
            self._remove(list(known.pop(part)))
            self._remember(known)
        self._say(problems)
        return fetched

    def _bring(self, part: str, files: Files, before: Files, listing: Listing) -> int:
        """Fetch what is new of a version, or of what lies beside versions; put it in place."""
        target = self.folder / part
        staging = target.parent / f"{STAGING}{target.name}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        try:
            wanted: dict[str, Path] = {}
            for path, listed in files.items():
                place = staging / Path(path).relative_to(part)
                place.parent.mkdir(parents=True, exist_ok=True)
                if before.get(path) == listed and self._is_there({path: listed}):
                    _link(self.folder / path, place)
                else:
                    wanted[path] = place
            size = sum(files[path].size for path in wanted)
            log.info("fetching %d files of %s, %.1f MB", len(wanted), part, size / 1e6)
            described = {p: at for p, at in wanted.items() if p == f"{part}/{MANIFEST}"}
            for batch in (described, {p: at for p, at in wanted.items() if p not in described}):
                if batch:
                    self._store.fetch(batch, listing)
                if _is_version(part):
                    _hold(staging, part, files, arrived=batch is not described)
            if _is_version(part):
                self._swap(staging, target, ours=bool(before))
            else:
                for path in wanted:
                    place = self.folder / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    wanted[path].replace(place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        return len(wanted)

    def _swap(self, staging: Path, target: Path, *, ours: bool) -> None:
        if target.exists():
            if not ours and not self._adopted(target):
                raise problem_with(
                    target,
                    "is there already, and is not from the store",
                    "remove one of them, or give the one in the store another number",
                )
            self._drop(target)
        staging.rename(target)

    def _drop(self, version: Path) -> None:
        """Remove a version, gone at once for whoever looks."""
        old = version.parent / f"{OLD}{version.name}"
        shutil.rmtree(old, ignore_errors=True)
        if version.exists():
            version.rename(old)
            shutil.rmtree(old, ignore_errors=True)

    def _adopted(self, target: Path) -> bool:
        """Whether a version was put here by a run that ended before it could write that down."""
        try:
            return "registry" not in json.loads((target / MANIFEST).read_text())["lineage"]
        except (OSError, ValueError, KeyError, TypeError):
            return True

    def _remove(self, gone: list[str]) -> None:
        """Take away what the store has no more; what did not come from it stays."""
        for path in gone:
            place = self.folder / path
            place.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty, or gone
                while place.parent != self.folder:
                    place = place.parent
                    place.rmdir()

    def _is_there(self, files: Mapping[str, Listed]) -> bool:
        try:
            return all((self.folder / p).stat().st_size == each.size for p, each in files.items())
        except OSError:
            return False

    def _known(self) -> Files:
        """What the store said of the files that are here."""
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            if state["url"] != self._store.url:
                return {}
            return {path: Listed(*each) for path, each in state["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _remember(self, known: Mapping[str, Files]) -> None:
        files = {path: each for part in known.values() for path, each in part.items()}
        state = {
            "url": self._store.url,
            "files": {path: [each.size, each.mark] for path, each in sorted(files.items())},
        }
        written = self.folder / f"{STATE}.new"
        written.write_text(json.dumps(state), encoding="utf-8")
        written.replace(self.folder / STATE)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Servers that share a folder take turns."""
        with open(self.folder / LOCK, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _say(self, problems: set[str]) -> None:
        """Log what was not so at the look before."""
        for problem in sorted(problems - self._said):
            log.error("%s", problem)
        self._said = problems


class _Wrong(RepositoryError):
    """A version is not what its manifest says; to fetch it again would not help."""


def _hold(staging: Path, part: str, files: Files, *, arrived: bool) -> None:
    """Hold a version against its manifest: the sizes that are listed, or what has ``arrived``."""
    try:
        manifest = read_manifest(staging)
        if manifest is None:
            return
        if arrived:
            check_files(staging, manifest, contents=True)
            return
        for entry in manifest.files:
            listed = files.get(f"{part}/{entry.path}")
            if listed is None or listed.size != entry.bytes:
                there = "is not there" if listed is None else f"has {listed.size} bytes"
                raise problem_with(
                    part,
                    f"{entry.path} {there}, {entry.bytes} are in the manifest",
                    "it is fetched when its upload is done",
                )
    except RepositoryError as error:
        raise _Wrong(
            path=error.path, field=error.field, problem=error.problem, remedy=error.remedy
        ) from error


def _link(path: Path, place: Path) -> None:
    """The same file at a second place; where a disk has no links, a copy."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copy2(path, place)


def _part(path: str) -> str:
    """What a file is fetched with: its version, or else all that is beside the versions."""
    model, _, rest = path.partition("/")
    name, inner, _ = rest.partition("/")
    return f"{model}/{name}" if inner and VERSION.fullmatch(name) else model


def _is_version(part: str) -> bool:
    return "/" in part


def _parts(files: Mapping[str, Listed]) -> dict[str, Files]:
    found: dict[str, Files] = {}
    for path, listed in files.items():
        found.setdefault(_part(path), {})[path] = listed
    return found
