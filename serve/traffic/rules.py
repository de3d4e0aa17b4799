"""Which version answers: the rules of one model, and the choice that follows from them.

A caller's place is a number from 0 to 1, by hash or by chance; the arms divide that range between
them. The version that stands back when another grows (``stable``) is the last arm, so that callers
who met the new version at 5 % still meet it at 25 %.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from serve.config import ModelConfig
from serve.config.traffic import Guards, Shadow, Sticky, Traffic, named_versions
from serve.traffic.state import ModelState

__all__ = [
    "STABLE",
    "TUNING",
    "Arm",
    "Rules",
    "basis_of",
    "current",
    "effective",
    "needed_versions",
    "place_of",
    "rules_of",
]

STABLE = "stable"
TUNING = {"guards", "score"}
"""Fields of ``traffic`` that change nothing of who answers."""


class Arm(msgspec.Struct, frozen=True):
    """A version that answers a share of the requests. ``name``: its label, or its number."""

    name: str
    version: int
    weight: float


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one model, with labels resolved.

    ``default``: the version that answers requests that name none, without a split, and in place
    of an arm that is not ready; 0: the highest ready one. ``arms``: empty, without a split; else
    at least one, of different versions, with weights above 0 that add up to 1; ``default`` is the
    last, if it is one of them. ``shadow``: who gets copies, and of what share.
    """

    default: int = 0
    arms: tuple[Arm, ...] = ()
    sticky: Sticky | None = None
    salt: str = ""
    shadow: Shadow | None = None
    shadow_version: int = 0
    score: str | None = None
    guards: Guards = Guards()
    watched: tuple[int, ...] = ()
    """Versions that are counted, for the report and the guards."""

    @property
    def plain(self) -> bool:
        """Whether nothing has to be done for a request, and nothing be counted."""
        return not self.arms and not self.shadow_version and not self.watched

    def version_at(self, place: float) -> int:
        """The version of a caller whose place is ``place``, 0 <= place < 1."""
        reached = 0.0
        for arm in self.arms:
            reached += arm.weight
            if place < reached:
                return arm.version
        return self.arms[-1].version if self.arms else self.default


def place_of(salt: str, key: bytes) -> float:
    """The place of a caller, from 0 to below 1: the same everywhere and for ever.

    ``salt`` is the experiment's. Uniform, and independent between salts (BLAKE2b).
    """
    digest = hashlib.blake2b(key, digest_size=8, salt=b"penstock", person=_short(salt)).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


@lru_cache(maxsize=1024)
def _short(salt: str) -> bytes:
    """A salt of any length as BLAKE2b wants it."""
    return hashlib.blake2b(salt.encode(), digest_size=16).digest()


def basis_of(config: ModelConfig) -> str:
    """Digests of what ``model.yaml`` says of labels, and of who gets requests and copies; see
    ``ModelState.basis``."""
    routing = config.traffic.model_dump(mode="json", exclude_defaults=True, exclude=TUNING)
    return f"{_digest(config.labels)}.{_digest(routing)}"


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def current(config: ModelConfig, state: ModelState) -> ModelState:
    """The state, less what ``model.yaml`` has overruled since by saying something else.

    Labels end with those of ``model.yaml`` and traffic with its; a rollout with either.
    """
    now = basis_of(config)
    if state.basis == now or state == ModelState():
        return state
    labels_then, _, traffic_then = state.basis.partition(".")
    labels_now, _, traffic_now = now.partition(".")
    labels = state.labels if labels_then == labels_now else None
    traffic = state.traffic if traffic_then == traffic_now else None
    rollout = None if state.rollout is not None and state.rollout.active else state.rollout
    if labels is None and traffic is None and rollout is None:
        return ModelState()
    return ModelState(labels=labels, traffic=traffic, rollout=rollout, basis=now)


def effective(config: ModelConfig, state: ModelState) -> tuple[Mapping[str, int], Traffic]:
    """The labels and the traffic section that count: the state's, unless ``model.yaml`` has
    changed since. Guards and score are those of ``model.yaml``, unless the state has others."""
    state = current(config, state)
    labels = config.labels if state.labels is None else state.labels
    if state.traffic is None:
        return labels, config.traffic
    tuning = config.traffic.model_dump(mode="json", exclude_defaults=True, include=TUNING)
    return labels, Traffic.model_validate({**tuning, **state.traffic})


def needed_versions(config: ModelConfig, state: ModelState) -> dict[str, int]:
    """The versions that must be served for the rules, whatever ``versions`` says, by why."""
    needed = named_versions(*effective(config, state))
    rollout = current(config, state).rollout
    if rollout is not None and rollout.active:
        needed |= {"the rollout": rollout.version, "the rollout's stable": rollout.stable}
    return needed


def rules_of(name: str, config: ModelConfig, state: ModelState) -> Rules:
    """The rules of a model. Labels that stand for nothing have no share.

    While a rollout is active its split counts, and that of the traffic section does not.
    """
    labels, traffic = effective(config, state)
    default = labels.get(STABLE, 0)
    weights: dict[int, tuple[str, float]] = {}
    for target, weight in traffic.split.items():
        version = _resolved(target, labels)
        if version:
            label, before = weights.get(version, (target, 0.0))
            weights[version] = (label, before + weight)
    rollout = current(config, state).rollout
    watched: tuple[int, ...] = ()
    guards = traffic.guards
    if rollout is not None and rollout.active:
        default = rollout.stable
        share = rollout.percent / 100
        weights = {rollout.version: (str(rollout.version), share), default: (STABLE, 1 - share)}
        watched = (rollout.stable, rollout.version)
        guards = Guards.model_validate(guards.model_dump() | dict(rollout.guards or {}))
    arms = _arms(weights, default)
    shadow = traffic.shadow
    shadow_version = 0 if shadow is None else _resolved(shadow.to, labels)
    if shadow_version in {default, *(arm.version for arm in arms)}:
        shadow_version = 0  # it answers by itself
    if not watched and (arms or shadow_version):
        watched = tuple({arm.version for arm in arms} or {default} - {0})
    if shadow_version:
        watched = (*watched, shadow_version)
    return Rules(
        default=default,
        arms=arms,
        sticky=traffic.sticky,
        salt=traffic.salt or name,
        shadow=shadow if shadow_version else None,
        shadow_version=shadow_version,
        score=traffic.score,
        guards=guards,
        watched=tuple(sorted(set(watched))),
    )


def _resolved(target: str, labels: Mapping[str, int]) -> int:
    return int(target) if target.isdigit() else labels.get(target, 0)


def _arms(weights: Mapping[int, tuple[str, float]], default: int) -> tuple[Arm, ...]:
    total = sum(weight for _, weight in weights.values())
    if not total:
        return ()
    arms = [
        Arm(name, version, weight / total)
        for version, (name, weight) in weights.items()
        if weight > 0
    ]
    # By nothing but the versions, so that a caller has the same place wherever rules were read.
    return tuple(sorted(arms, key=lambda arm: (arm.version == default, arm.version)))
