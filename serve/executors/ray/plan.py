"""What gateways are told to serve: Serve pushes it to them as JSON. Imports no ray."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from serve.config import ModelConfig
from serve.repository.manifest import Manifest

__all__ = ["Plan", "Served", "as_json", "from_json", "manifest_text", "settings_text"]

LONGEST_MANIFEST = 64 * 1024
"""Serve keeps the plan, and sends all of it at each change; longer ones are not worth that."""


class Served(msgspec.Struct, frozen=True):
    """One version of a model, or (version 0) a model of which no version is known.

    ``state`` is one of the protocol's. ``application`` is where its replicas are; with READY,
    there are enough of them. ``settings`` is ``model.yaml``, in JSON; ``manifest`` is
    ``manifest.json``, "" if there is none, or none that is sent (``manifest_text``).
    """

    name: str
    version: int
    state: str
    reason: str = ""
    application: str = ""
    settings: str = "{}"
    manifest: str = ""

    @property
    def config(self) -> ModelConfig:
        """The model's settings."""
        return ModelConfig.model_validate(json.loads(self.settings))

    def read_manifest(self) -> Manifest | None:
        """The version's manifest, if it was sent."""
        return Manifest.model_validate(json.loads(self.manifest)) if self.manifest else None


class Plan(msgspec.Struct, frozen=True):
    """All that is served. ``complete``: every version has been tried once."""

    versions: tuple[Served, ...] = ()
    complete: bool = False


def as_json(plan: Plan) -> dict[str, Any]:
    """A plan in what JSON has."""
    data: dict[str, Any] = msgspec.to_builtins(plan)
    return data


def from_json(data: dict[str, Any]) -> Plan:
    """The plan of what ``as_json`` gave."""
    return msgspec.convert(data, Plan)


def settings_text(config: ModelConfig) -> str:
    """Settings as text, with NaN and infinity, which they may hold and msgspec's JSON cannot."""
    return json.dumps(config.model_dump(mode="json", exclude_defaults=True), sort_keys=True)


def manifest_text(manifest: Manifest | None) -> str:
    """A manifest as text; "" for none, and for one that is too long to be sent with a plan."""
    if manifest is None:
        return ""
    text = json.dumps(manifest.model_dump(mode="json"), sort_keys=True)
    return text if len(text) <= LONGEST_MANIFEST else ""
