"""What an operation makes of a model's traffic: a pure function, and all that may be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import msgspec
from pydantic import ValidationError

from serve.config import ModelConfig
from serve.config.model import LABEL
from serve.config.traffic import Guards, Traffic
from serve.errors import AlreadyExists, InvalidRequest, NotFound, NotReady
from serve.traffic.operations import (
    AdvanceRollout,
    ClearTraffic,
    Operation,
    PauseRollout,
    RemoveLabel,
    ResumeRollout,
    Rollback,
    SetLabel,
    SetShadow,
    SetSplit,
    SetTraffic,
    StartRollout,
)
from serve.traffic.rollout import check_steps, next_step, rolled_back, step_anew
from serve.traffic.rules import STABLE, TUNING, basis_of, current, effective, rules_of
from serve.traffic.state import ModelState, Rollout, RolloutStatus

__all__ = ["PREVIOUS", "Situation", "change", "completed"]

PREVIOUS = "previous"
"""The label of the version that was stable before: what a rollback goes to."""
MAX_LABELS = 64
MAX_STEPS = 100
MAX_HOLD_S = 30 * 86_400.0
MAX_STATE_BYTES = 65_536
"""All that is kept of a model: it is in each line of the log, and sent to all gateways."""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What a change is made of.

    ``answers``: the version that answers requests that name none, 0 if that is not known;
    ``versions``: those on disk; ``problem``: what speaks against going on with the rollout now, ""
    if nothing does.
    """

    model: str
    config: ModelConfig
    state: ModelState
    versions: tuple[int, ...] = ()
    answers: int = 0
    now_s: float = 0.0
    who: str = ""
    why: str = ""
    problem: str = ""

    @property
    def rollout(self) -> Rollout | None:
        """The rollout that is active; None: there is none, or ``model.yaml`` is another by now."""
        rollout = current(self.config, self.state).rollout
        return rollout if rollout is not None and rollout.active else None

    @property
    def labels(self) -> Mapping[str, int]:
        """The labels that count."""
        return effective(self.config, self.state)[0]

    @property
    def traffic(self) -> Traffic:
        """The traffic section that counts."""
        return effective(self.config, self.state)[1]

    def new(self, **fields: Any) -> ModelState:
        """The state with these fields; nothing is kept that ``model.yaml`` has overruled."""
        before = current(self.config, self.state)
        return msgspec.structs.replace(before, basis=basis_of(self.config), **fields)

    def said(self, traffic: Traffic) -> dict[str, Any]:
        """A traffic section as it is kept: without what it has of ``model.yaml`` in any case."""
        own = self.config.traffic
        return {
            name: value
            for name, value in traffic.model_dump(mode="json", exclude_defaults=True).items()
            if name not in TUNING or getattr(traffic, name) != getattr(own, name)
        }


@singledispatch
def _change(operation: Any, at: Situation) -> ModelState:
    raise InvalidRequest(f"there is no operation {type(operation).__name__}")


def change(operation: Operation, at: Situation) -> ModelState:
    """The state after an operation.

    Raises:
        InvalidRequest: a field is wrong.
        NotFound: a version or a label that is not there.
        AlreadyExists: a rollout is under way.
        NotReady: there is nothing to begin with, or to go back to.
    """
    after = _change(operation, at)
    size = len(msgspec.json.encode(after))
    if size > MAX_STATE_BYTES and not isinstance(operation, Rollback):
        raise InvalidRequest(
            f"the traffic of {at.model} would take {size} bytes to describe; at most"
            f" {MAX_STATE_BYTES} can be kept: use fewer labels, weights or steps, and shorter names"
        )
    return after


@_change.register
def _(operation: SetLabel, at: Situation) -> ModelState:
    if LABEL.fullmatch(operation.label) is None:
        raise InvalidRequest(
            f"label: {operation.label!r:.80} is none: a letter first, then at most 63 letters,"
            " digits, dots, dashes and underscores"
        )
    _check_version(at, operation.version, "version")
    if operation.label == STABLE:
        _no_rollout(at, "stable cannot be moved")
    labels = {**at.labels, operation.label: operation.version}
    before = at.labels.get(STABLE) or at.answers
    if operation.label == STABLE and before not in (0, operation.version):
        labels[PREVIOUS] = before
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(f"label: a model may have {MAX_LABELS}; remove one before")
    return at.new(labels=labels)


@_change.register
def _(operation: RemoveLabel, at: Situation) -> ModelState:
    if operation.label not in at.labels:
        there = ", ".join(sorted(at.labels)) or "none"
        raise NotFound(f"{at.model} has no label {operation.label!r:.80}; it has {there}")
    if operation.label == STABLE:
        _no_rollout(at, "stable cannot be removed")
    return at.new(labels={k: v for k, v in at.labels.items() if k != operation.label})


@_change.register
def _(operation: SetTraffic, at: Situation) -> ModelState:
    _no_rollout(at, "traffic cannot be set")
    return _with_traffic(at, operation.traffic)


@_change.register
def _(operation: SetSplit, at: Situation) -> ModelState:
    _no_rollout(at, "requests cannot be divided otherwise")
    fields: dict[str, Any] = {**at.said(at.traffic), "split": dict(operation.split)}
    if operation.sticky is not None:
        fields["sticky"] = dict(operation.sticky) or None
    return _with_traffic(at, fields)


@_change.register
def _(operation: SetShadow, at: Situation) -> ModelState:
    fields = {k: v for k, v in at.said(at.traffic).items() if k != "shadow"}
    if operation.shadow is not None:
        fields["shadow"] = dict(operation.shadow)
    after = _with_traffic(at, fields)
    if operation.shadow is not None and not rules_of(at.model, at.config, after).shadow_version:
        raise InvalidRequest(
            f"shadow.to: {operation.shadow['to']} answers requests by itself; copies are for a"
            " version that has no share of them"
        )
    return after


@_change.register
def _(operation: ClearTraffic, at: Situation) -> ModelState:
    _no_rollout(at, "traffic cannot be cleared")
    return at.new(labels=None, traffic=None, rollout=None)


@_change.register
def _(operation: StartRollout, at: Situation) -> ModelState:
    _no_rollout(at, f"that of version {operation.to} cannot begin")
    try:
        steps = check_steps(operation.steps)
        Guards.model_validate(at.traffic.guards.model_dump() | dict(operation.guards or {}))
    except ValidationError as error:
        raise InvalidRequest(f"guards: {_first(error)}") from None
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    if len(steps) > MAX_STEPS:
        raise InvalidRequest(f"steps: {len(steps)} are given; at most {MAX_STEPS} can be")
    if not (math.isfinite(operation.hold_s) and 0 <= operation.hold_s <= MAX_HOLD_S):
        raise InvalidRequest(f"hold_s: should be from 0 to {MAX_HOLD_S:.0f} seconds")
    _check_version(at, operation.to, "to")
    stable = at.labels.get(STABLE) or at.answers
    if not stable:
        raise NotReady(f"no version of {at.model} answers yet that the new one could stand in for")
    if stable == operation.to:
        raise InvalidRequest(
            f"to: version {stable} has all the traffic already; to give it less, label another"
            " version `stable` first"
        )
    rollout = Rollout(
        version=operation.to,
        stable=stable,
        steps=steps,
        hold_s=operation.hold_s,
        began_s=at.now_s,
        by=at.who,
        guards=dict(operation.guards) if operation.guards else None,
    )
    # Nor may a split come back, with the new version in it, when the rollout has failed.
    fields = {name: value for name, value in at.said(at.traffic).items() if name != "split"}
    traffic = fields if at.traffic.split else at.new().traffic
    return at.new(labels={**at.labels, STABLE: stable}, traffic=traffic, rollout=rollout)


@_change.register
def _(operation: PauseRollout, at: Situation) -> ModelState:
    rollout = _active(at)
    return at.new(rollout=msgspec.structs.replace(rollout, status=RolloutStatus.PAUSED))


@_change.register
def _(operation: ResumeRollout, at: Situation) -> ModelState:
    rollout = _active(at)
    if rollout.status is not RolloutStatus.PAUSED:
        raise InvalidRequest("the rollout is not paused")
    return at.new(rollout=step_anew(rollout, at.now_s))


@_change.register
def _(operation: AdvanceRollout, at: Situation) -> ModelState:
    rollout = _active(at)
    if at.problem:
        raise NotReady(f"the rollout cannot go on: {at.problem}")
    return completed(at, next_step(rollout, at.now_s))


@_change.register
def _(operation: Rollback, at: Situation) -> ModelState:
    rollout = at.rollout
    if rollout is not None:
        return at.new(rollout=rolled_back(rollout, at.now_s, at.why or f"asked for by {at.who}"))
    if at.traffic.split:
        fields = {k: v for k, v in at.said(at.traffic).items() if k != "split"}
        return at.new(traffic=fields, labels={**at.labels, STABLE: _main_version(at)})
    previous, stable = at.labels.get(PREVIOUS), at.labels.get(STABLE)
    ended = at.state.rollout
    if ended is not None and ended.status is RolloutStatus.ROLLED_BACK and stable == ended.stable:
        # Whoever asks for it is a moment later than the guards, and means the version that is gone.
        further = f"; to go further back, label version {previous} `stable`" if previous else ""
        raise AlreadyExists(
            f"version {ended.version} was rolled back already, and all requests go to version"
            f" {stable}{further} ({ended.reason})"
        )
    if previous is None:
        raise NotReady(
            f"{at.model} has no version to go back to: no rollout is under way, no split divides"
            f" its requests, and no version has the label {PREVIOUS!r}; label one `stable`"
        )
    labels = {k: v for k, v in at.labels.items() if k != PREVIOUS}
    return at.new(labels={**labels, STABLE: previous})


def completed(at: Situation, rollout: Rollout) -> ModelState:
    """The state with a rollout that has moved: after its end the new version is stable."""
    if rollout.status is not RolloutStatus.COMPLETED:
        return at.new(rollout=rollout)
    labels = {**at.labels, STABLE: rollout.version, PREVIOUS: rollout.stable}
    fields = {k: v for k, v in at.said(at.traffic).items() if k != "split"}
    return at.new(rollout=rollout, labels=labels, traffic=fields)


def _main_version(at: Situation) -> int:
    """The version that keeps all requests once they are divided no more.

    Without ``stable`` that is the one with the largest share, not the highest: this is most likely
    the one to get rid of.
    """
    if (stable := at.labels.get(STABLE)) is not None:
        return stable
    arms = rules_of(at.model, at.config, at.state).arms
    if not arms:
        raise NotReady("no version has a share of the requests; label one `stable`")
    return max(arms, key=lambda arm: (arm.weight, -arm.version)).version


def _with_traffic(at: Situation, fields: Mapping[str, Any]) -> ModelState:
    try:
        traffic = Traffic.model_validate(dict(fields))
    except ValidationError as error:
        raise InvalidRequest(f"traffic.{_first(error)}") from None
    targets = {f"split.{target}": target for target in traffic.split}
    if traffic.shadow is not None:
        targets["shadow.to"] = traffic.shadow.to
    for field, target in targets.items():
        if target.isdigit():
            _check_version(at, int(target), field)
        elif target not in at.labels:
            there = ", ".join(sorted(at.labels)) or "none"
            raise InvalidRequest(f"{field}: there is no label {target!r}; the labels are {there}")
    return at.new(traffic=at.said(traffic))


def _check_version(at: Situation, version: int, field: str) -> None:
    if version not in at.versions:
        there = ", ".join(map(str, at.versions)) or "none"
        raise NotFound(f"{field}: {at.model} has no version {version}; it has {there}")


def _no_rollout(at: Situation, what: str) -> None:
    if (rollout := at.rollout) is not None:
        raise AlreadyExists(
            f"{what} while the rollout of version {rollout.version} is under way: let it end, or"
            f" end it with `penstock models rollback {at.model}`"
        )


def _active(at: Situation) -> Rollout:
    if (rollout := at.rollout) is None:
        raise NotFound(f"{at.model} has no rollout under way")
    return rollout


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
