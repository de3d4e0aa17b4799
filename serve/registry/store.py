"""A folder in an object store, as files by path. The only module that imports fsspec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from serve.errors import RepositoryError
from serve.registry.client import problem_with
from serve.repository.source import SOURCE_STATE

__all__ = ["Listed", "Listing", "ObjectStore", "Store", "open_store"]

MOST_OBJECTS = 100_000
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure"}
CREDENTIALS = {
    "s3": "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and its key",
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    # botocore's own patience is five minutes.
    "s3": {
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 60,
            "retries": {"max_attempts": 2},
        }
    }
}
MARKS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5"),
    *("LastModified", "last_modified", "updated", "mtime", "created"),
)
"""What tells one object from another that was put in its place, by store; the first one counts."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object: its size in bytes, and a mark that changes with its contents."""

    size: int
    mark: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of models' folders by path, less hidden ones; ``refused`` are names that would lead
    out of the folder they are put into."""

    files: Mapping[str, Listed]
    refused: tuple[str, ...] = ()


class Store(Protocol):
    """What the mirror asks; every call blocks, and raises RepositoryError with a remedy."""

    url: str

    def list(self) -> Listing:
        """Every object."""

    def fetch(self, targets: Mapping[str, Path], listing: Listing) -> None:
        """Objects by path to the files they go into, whose folders are there.

        Raises:
            RepositoryError: one did not come, or is not the one that was listed.
        """


def open_store(url: str) -> ObjectStore:
    """The store at ``url``; nothing is sent yet.

    Raises:
        RepositoryError: there is no such kind of store, or its client is not installed.
    """
    kind = url.partition("://")[0]
    extra = EXTRAS.get(kind)
    try:
        import fsspec

        options = OPTIONS.get(extra or "", {})
        system, root = fsspec.url_to_fs(
            url, use_listings_cache=False, skip_instance_cache=True, **options
        )
    except (ImportError, ValueError) as error:
        if isinstance(error, ValueError) and "not known" not in str(error):
            raise problem_with(url, str(error), "correct the URL") from error
        remedy = (
            f"install the extra: pip install 'penstock[{extra}]'"
            if extra
            else f"there are {', '.join(f'{name}://' for name in EXTRAS)} and file://"
        )
        raise problem_with(url, f"cannot be reached: {error}", remedy) from error
    except Exception as error:  # whatever a client makes of its settings
        raise _told(url, extra, error) from error
    return ObjectStore(url, system, root, extra)


class ObjectStore:
    """See ``Store``; through fsspec."""

    def __init__(self, url: str, system: Any, root: str, extra: str | None) -> None:
        self.url = url
        self._system = system
        self._root = root.rstrip("/")
        self._extra = extra

    def list(self) -> Listing:
        """See ``Store.list``."""
        try:
            found = self._system.find(self._root, detail=True)
        except Exception as error:
            raise _told(self.url, self._extra, error) from error
        if len(found) > MOST_OBJECTS:
            raise problem_with(
                self.url,
                f"has {len(found)} objects, over {MOST_OBJECTS}",
                "give a prefix that holds models alone",
            )
        files: dict[str, Listed] = {}
        refused = []
        for key, details in found.items():
            if key.endswith("/"):  # how consoles show an empty folder
                continue
            path = key.removeprefix(f"{self._root}/")
            if path == key or not _is_inside(path):
                refused.append(key)
            elif "/" in path and not _is_hidden(path):
                files[path] = Listed(int(details.get("size") or 0), _mark(details))
        return Listing(files, tuple(refused))

    def fetch(self, targets: Mapping[str, Path], listing: Listing) -> None:
        """See ``Store.fetch``."""
        keys = [f"{self._root}/{path}" for path in targets]
        try:
            # Two lists: names are taken as they are, with no patterns in them.
            self._system.get(keys, [str(target) for target in targets.values()])
            now = {path: self._system.info(f"{self._root}/{path}") for path in targets}
        except Exception as error:
            raise _told(self.url, self._extra, error) from error
        for path, target in targets.items():
            listed = listing.files[path]
            size = target.stat().st_size if target.is_file() else -1
            changed = "ETag" in now[path] and _mark(now[path]) != listed.mark
            if size != listed.size or changed:
                what = "changed while it was fetched" if changed else f"came with {size} bytes"
                raise problem_with(
                    f"{self.url}/{path}",
                    f"{what}, of {listed.size}",
                    "it is fetched again at the next look",
                )


def _mark(details: Mapping[str, Any]) -> str:
    return next((str(details[name]) for name in MARKS if details.get(name)), "")


def _is_inside(path: str) -> bool:
    """Whether a name, which anybody may have chosen, is a path below where it is put."""
    parts: Sequence[str] = path.split("/")
    return (
        all(part not in ("", ".", "..") and len(part.encode()) <= 255 for part in parts)
        and "\\" not in path
        and path.isprintable()
    )


def _is_hidden(path: str) -> bool:
    *folders, name = path.split("/")
    hidden = any(part.startswith(".") or part == "__pycache__" for part in folders)
    return hidden or (name.startswith(".") and name != SOURCE_STATE)


def _told(url: str, extra: str | None, error: Exception) -> RepositoryError:
    """What a client's error means to whoever gave the URL."""
    text = " ".join(str(error).split())[:300] or type(error).__name__
    kind = type(error).__name__
    keys = CREDENTIALS.get(extra or "", "the credentials of the store")
    if isinstance(error, PermissionError) or "credential" in f"{kind} {text}".lower():
        return problem_with(
            url,
            f"does not let us in: {text}",
            f"set {keys} to those of somebody who may list and read it",
        )
    if isinstance(error, FileNotFoundError):
        return problem_with(url, f"is not there: {text}", "correct the URL, or make the bucket")
    return problem_with(
        url,
        f"does not answer: {kind}: {text}",
        "see that it can be reached from here; AWS_ENDPOINT_URL is for stores that are not Amazon's"
        if extra == "s3"
        else "see that it can be reached from here",
    )
