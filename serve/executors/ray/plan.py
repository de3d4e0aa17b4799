"""What gateways are told to serve: Serve pushes it to them as JSON. Imports no ray."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from serve.config import ModelConfig

__all__ = ["Plan", "Served", "as_json", "from_json", "settings_text"]


class Served(msgspec.Struct, frozen=True):
    """One version of a model, or (version 0) a model of which no version is known.

    ``state`` is one of the protocol's. ``application`` is where its replicas are; with READY,
    there are enough of them. ``settings`` is ``model.yaml``, in JSON.
    """

    name: str
    version: int
    state: str
    reason: str = ""
    application: str = ""
    settings: str = "{}"

    @property
    def config(self) -> ModelConfig:
        """The model's settings."""
        return ModelConfig.model_validate(json.loads(self.settings))


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
