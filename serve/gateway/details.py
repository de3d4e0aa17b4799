"""What each version of a model is, for ``penstock models show``: where it comes from, how it fares.

Plain data, with the names that the JSON has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from serve.config import ModelConfig
from serve.repository.manifest import Manifest

__all__ = ["Details", "VersionDetails", "make_details"]


class VersionDetails(msgspec.Struct, frozen=True, kw_only=True):
    """One version. ``answers``: it does, for requests that name no version.

    ``manifest`` is all of its ``manifest.json``; None: it has none, or it is not known here.
    """

    version: str
    state: str
    reason: str = ""
    labels: tuple[str, ...] = ()
    answers: bool = False
    platform: str = ""
    manifest: dict[str, Any] | None = None


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """A model and all of its versions that are known."""

    name: str
    owner: str = ""
    description: str = ""
    versions: tuple[VersionDetails, ...] = ()


def make_details(
    name: str,
    index: Iterable[Mapping[str, Any]],
    labels: Mapping[str, int],
    live: Mapping[str, tuple[str, ModelConfig]],
    answers: str,
    manifests: Mapping[str, Manifest],
) -> Details:
    """Put together what is known.

    ``index`` is the protocol's, of which only the rows of this model count; ``live`` has platform
    and settings of each version that can be asked; ``answers`` is the one that is asked where
    none is named, "" if none is.
    """
    versions = []
    settings = ModelConfig()
    for row in index:
        version = row["version"]
        if row["name"] != name:
            continue
        platform, settings = live.get(version, ("", settings))
        manifest = manifests.get(version)
        versions.append(
            VersionDetails(
                version=version,
                state=str(row["state"]),
                reason=row["reason"],
                labels=tuple(
                    sorted(label for label, number in labels.items() if str(number) == version)
                ),
                answers=bool(version) and version == answers,
                platform=platform,
                manifest=None if manifest is None else manifest.model_dump(mode="json"),
            )
        )
    return Details(
        name=name,
        owner=settings.owner,
        description=settings.description,
        versions=tuple(versions),
    )
