"""The numbered folders of a model, and which of them its policy serves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from serve.config import ModelConfig, Versions
from serve.config.traffic import named_versions
from serve.errors import RepositoryError
from serve.repository.entry import VersionEntry

__all__ = ["Needed", "choose", "looks_like_version", "named", "version_folders"]

Needed = Callable[[str, ModelConfig], Mapping[str, int]]
"""The versions of a model that are served whatever its policy says, by the field that names them.
"""

VERSION = re.compile(r"[1-9][0-9]{0,17}")  # 18 digits always fit the protocol's int64
VERSION_LIKE = re.compile(r"v?[0-9]+", re.ASCII | re.IGNORECASE)


def named(_: str, config: ModelConfig) -> Mapping[str, int]:
    """The ``Needed`` of ``model.yaml`` alone."""
    return named_versions(config.labels, config.traffic)


def looks_like_version(name: str) -> bool:
    """Whether a folder was meant to be a version: ``01``, ``0`` and ``v1`` are not one."""
    return VERSION_LIKE.fullmatch(name) is not None


def version_folders(folder: Path) -> dict[int, Path]:
    """Folders whose name is a number without leading zeros, ascending, as in Triton."""
    found = {
        int(path.name): path
        for path in folder.iterdir()
        if VERSION.fullmatch(path.name) and path.is_dir()
    }
    return dict(sorted(found.items()))


def choose(
    policy: Versions,
    folders: dict[int, Path],
    load: Callable[[int, Path], VersionEntry],
    settings_path: str,
    needed: Mapping[str, int],
) -> tuple[tuple[VersionEntry, ...], dict[int, RepositoryError]]:
    """The versions to serve, ascending, and those that the policy wants but are broken.

    ``latest`` passes over a broken version to the next lower one: a release that is half copied,
    or bad, must not take the version before it out of service. The versions ``needed``, by the
    field that names them, are served besides.
    """
    good: list[VersionEntry] = []
    broken: dict[int, RepositoryError] = {}
    chosen = set(policy.numbers if policy.policy == "specific" else folders)
    left = policy.count if policy.policy == "latest" else len(chosen)
    fields = dict.fromkeys(policy.numbers, "versions.numbers")
    fields |= {number: field for field, number in needed.items()}
    for number in sorted(chosen | set(needed.values()), reverse=True):
        by_policy = number in chosen and left > 0
        if not by_policy and number not in needed.values():
            continue
        try:
            if number not in folders:
                raise _absent(number, folders, settings_path, fields[number])
            good.append(load(number, folders[number]))
            left -= by_policy
        except RepositoryError as error:
            broken[number] = error
    return tuple(reversed(good)), dict(sorted(broken.items()))


def _absent(
    number: int, folders: dict[int, Path], settings_path: str, field: str
) -> RepositoryError:
    there = ", ".join(map(str, folders)) or "none"
    return RepositoryError(
        path=settings_path,
        field=field,
        problem=f"there is no version {number}",
        remedy=f"add the folder, or take it off the list; the versions here: {there}",
    )
