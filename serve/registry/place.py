"""Where a repository is: a folder, or a URL whose copy is one."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serve.errors import RepositoryError
from serve.registry.mirror import Mirror
from serve.registry.store import open_store

__all__ = ["Place", "open_remote"]

log = logging.getLogger("penstock.registry")


@dataclass(frozen=True, slots=True)
class Place:
    """``root`` is the folder to serve; ``renew`` brings it up to date, and blocks.

    ``renew`` raises RepositoryError if the store cannot be listed: all stays as it was.
    """

    root: Path
    renew: Callable[[], None]


def open_remote(url: str, cache: Path) -> Place:
    """The copy of the repository at ``url`` in a folder of its own below ``cache``, up to date.

    If the store does not answer, what was fetched before is served. Blocks until all is fetched.

    Raises:
        RepositoryError: the store does not answer, and nothing was fetched before; or there is no
            such kind of store.
    """
    mirror = Mirror(open_store(url), cache / _folder_name(url))
    try:
        fetched = mirror.sync()
        log.info("%s is in %s, %d files were fetched", url, mirror.folder, fetched)
    except RepositoryError as error:
        if not mirror.is_warm():
            raise
        log.warning("what was fetched before is served from %s: %s", mirror.folder, error)

    def renew() -> None:
        mirror.sync()

    return Place(mirror.folder, renew)


def _folder_name(url: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")[:80]
    return f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
