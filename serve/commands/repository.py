"""The argument REPO: a folder, or the URL of one in an object store."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Renew", "Repo", "is_remote", "place_of"]

Renew = Callable[[], None]
Repo = Annotated[
    str,
    typer.Argument(
        help="Model repository: a folder a model. Or its URL: s3://, gs://, az://, file://.",
        metavar="REPO",
    ),
]


def is_remote(repo: str) -> bool:
    """Whether a repository is given by its URL."""
    return "://" in repo


def place_of(repo: str, cache: Path | None) -> tuple[Path, Renew]:
    """The folder that is served, and what brings it up to date; a URL's is its copy.

    Raises:
        RepositoryError: there is no copy, and none can be made.
    """
    if not is_remote(repo):
        return Path(repo), _as_it_is
    from serve.registry.place import open_remote

    place = open_remote(repo, cache or _default_cache())
    return place.root, place.renew


def _as_it_is() -> None:
    """A folder of one's own is up to date."""


def _default_cache() -> Path:
    """By the XDG Base Directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")  # noqa: TID251 - the command line reads it
    caches = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return caches / "penstock" / "repositories"
