"""The live versions of every model: which of them answer, and why the others do not.

Owned by the event loop: every method is called there, and none blocks. ``resolve`` is called for
each request and is one look-up in a dictionary that every change keeps up to date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from serve.config.model import LABEL
from serve.errors import InvalidRequest, NotFound, NotReady, PenstockError
from serve.repository.files import shown

__all__ = ["MakeFront", "ModelState", "ModelTable"]

H = TypeVar("H")

MakeFront = Callable[[Mapping[int, H], H | None], H | None]
"""Makes what answers requests that name no version, of the handles of READY versions and of the
one that would answer without it; None: that one, or nobody."""

VERSION = re.compile(r"[1-9][0-9]{0,18}")

STABLE = "stable"
"""The label whose version answers requests that name none."""

UNLOADED = "unloaded"
"""The reason that Triton gives, and clients look for."""

WHOLE_MODEL = 0
"""Stands for the version where a model failed before any version of it was known."""


class ModelState(StrEnum):
    """The protocol's states of a model version."""

    LOADING = "LOADING"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True, slots=True)
class _Row(Generic[H]):
    state: ModelState
    reason: str = ""
    handle: H | None = None


class ModelTable(Generic[H]):
    """Versions by model, each with a state and, once it has been ready, a handle."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[int, _Row[H]]] = {}
        # (name, version as in a request) → handle of a READY version; "" is the highest.
        self._resolved: dict[tuple[str, str], H] = {}
        self._labels: dict[str, Mapping[str, int]] = {}
        self._fronts: dict[str, MakeFront[H]] = {}
        self._defaults: dict[str, H] = {}
        # What could be loaded, and is not: versions that were unloaded, none if it never was.
        self._aside: Mapping[str, tuple[int, ...]] = {}

    def resolve(self, name: str, version: str) -> H:
        """The handle that answers for a model.

        ``version`` is a number or a label; "" is the label ``stable`` if there is one, else the
        highest READY version.

        Raises:
            NotFound: no such model, version or label.
            NotReady: it is known, and not READY; the message says the state and the reason.
            InvalidRequest: the version is neither a label nor a number without leading zeros.
        """
        try:
            return self._resolved[name, version]
        except KeyError:
            pass
        raise self._refusal(name, version)

    def set_loading(self, name: str, version: int) -> None:
        """A version is about to load. To replace a READY one in place, load aside instead and
        call ``set_ready`` when the new handle is."""
        self._set(name, version, _Row(ModelState.LOADING))

    def set_ready(self, name: str, version: int, handle: H) -> H | None:
        """From now on ``handle`` answers; returns the one it replaces, which is the caller's
        to close."""
        row = self._rows.get(name, {}).get(version)
        self._set(name, version, _Row(ModelState.READY, "", handle))
        return row.handle if row is not None else None

    def set_unavailable(self, name: str, version: int, reason: str) -> None:
        """A version cannot be served; version 0 says it of the model as a whole."""
        self._set(name, version, _Row(ModelState.UNAVAILABLE, reason))

    def set_reason(self, name: str, version: int, reason: str) -> None:
        """Say of a version that goes on answering why it is not as it should be."""
        row = self._rows[name][version]
        self._set(name, version, _Row(row.state, reason, row.handle))

    def set_labels(self, name: str, labels: Mapping[str, int]) -> None:
        """Let labels stand for these versions from now on, all of them at once."""
        self._labels[name] = labels
        self._refresh(name)

    def set_front(self, name: str, make: MakeFront[H] | None) -> None:
        """Have requests that name no version answered by what ``make`` makes, now and whenever
        the versions of the model are others."""
        if make is None:
            self._fronts.pop(name, None)
        else:
            self._fronts[name] = make
        self._refresh(name)

    def default(self, name: str) -> H:
        """The handle of a single version that answers where none is named; raises as ``resolve``.

        Where requests are divided among versions, it is the one that stands in for the others.
        """
        try:
            return self._defaults[name]
        except KeyError:
            raise self._refusal(name, "") from None

    def labels(self, name: str) -> Mapping[str, int]:
        """The versions that the labels of a model stand for."""
        return self._labels.get(name, {})

    def set_aside(self, models: Mapping[str, tuple[int, ...]]) -> None:
        """The models that could be loaded on request, with the versions that once were."""
        self._aside = models

    def set_unloading(self, name: str, version: int, reason: str = "unloading") -> None:
        """A version takes no further requests; its handle is kept until ``remove``."""
        row = self._rows.get(name, {}).get(version)
        handle = row.handle if row is not None else None
        self._set(name, version, _Row(ModelState.UNLOADING, reason, handle))

    def remove(self, name: str, version: int) -> None:
        """Forget a version, and the model with its last one; no error if it is not there."""
        versions = self._rows.get(name, {})
        versions.pop(version, None)
        if not versions:
            self.remove_model(name)
        self._refresh(name)

    def remove_model(self, name: str) -> None:
        """Forget a model, whatever is known of it."""
        self._rows.pop(name, None)
        self._labels.pop(name, None)
        self._fronts.pop(name, None)
        self._refresh(name)

    def keep_only(self, name: str, versions: Collection[int]) -> None:
        """Forget what is known of the other versions of a model."""
        for version in [known for known in self._rows.get(name, {}) if known not in versions]:
            self.remove(name, version)

    def index(self, ready_only: bool = False) -> list[dict[str, Any]]:
        """The protocol's repository index, by name and version; version "" for a whole model."""
        rows = [
            _index_row(name, version, row.state, row.reason)
            for name, version, row in self._sorted()
            if row.state is ModelState.READY or not ready_only
        ]
        if ready_only or not self._aside:
            return rows
        rows += [
            _index_row(name, version, ModelState.UNAVAILABLE, UNLOADED)
            for name, versions in self._aside.items()
            if name not in self._rows
            for version in versions or (WHOLE_MODEL,)
        ]
        return sorted(rows, key=lambda row: (row["name"], int(row["version"] or 0)))

    def names(self) -> list[str]:
        """All models, in whatever state."""
        return sorted(self._rows)

    def versions(self, name: str) -> list[str]:
        """The READY versions of a model, ascending; empty if there are none."""
        rows = self._rows.get(name, {})
        return [str(number) for number in sorted(rows) if rows[number].state is ModelState.READY]

    def ready(self) -> bool:
        """Whether everything that should be served is: all but what is being unloaded."""
        states = {row.state for rows in self._rows.values() for row in rows.values()}
        return states <= {ModelState.READY, ModelState.UNLOADING}

    def handles(self) -> Iterator[H]:
        """Every handle the table holds, of READY and UNLOADING versions, by name and version."""
        return iter([row.handle for _, _, row in self._sorted() if row.handle is not None])

    def states(self) -> dict[tuple[str, str], ModelState]:
        """(name, version) → state, for metrics; version "" for a whole model."""
        return {(name, _text(version)): row.state for name, version, row in self._sorted()}

    def reasons(self) -> dict[str, dict[int, tuple[str, str]]]:
        """State and reason of every version that is known, by model; version 0: the model."""
        return {
            name: {version: (row.state.value, row.reason) for version, row in rows.items()}
            for name, rows in self._rows.items()
        }

    def _set(self, name: str, version: int, row: _Row[H]) -> None:
        versions = self._rows.setdefault(name, {})
        versions[version] = row
        if version != WHOLE_MODEL:
            versions.pop(WHOLE_MODEL, None)  # it is known better now
        self._refresh(name)

    def _refresh(self, name: str) -> None:
        """Resolve anew what requests may ask of one model."""
        for key in [key for key in self._resolved if key[0] == name]:
            del self._resolved[key]
        ready = {
            version: row.handle
            for version, row in sorted(self._rows.get(name, {}).items())
            if row.state is ModelState.READY and row.handle is not None
        }
        for version, handle in ready.items():
            self._resolved[name, str(version)] = handle
        labels = self._labels.get(name, {})
        for label, version in labels.items():
            if version in ready:
                self._resolved[name, label] = ready[version]
        highest = max(ready, default=WHOLE_MODEL)
        # With `stable`, none rather than another.
        default = ready.get(labels.get(STABLE, highest))
        self._defaults.pop(name, None)
        if default is not None:
            self._defaults[name] = default
        front = self._fronts[name](ready, default) if name in self._fronts else None
        answers = front if front is not None else default
        if answers is not None:
            self._resolved[name, ""] = answers

    def _sorted(self) -> list[tuple[str, int, _Row[H]]]:
        return [
            (name, version, self._rows[name][version])
            for name in sorted(self._rows)
            for version in sorted(self._rows[name])
        ]

    def _refusal(self, name: str, version: str) -> PenstockError:
        """Why ``resolve`` has no handle."""
        rows = self._rows.get(name)
        if rows is None and name in self._aside:
            return NotReady(
                f"Model {_quoted(name)} is not loaded: load it with POST"
                f" /v2/repository/models/{name}/load, or RepositoryModelLoad"
            )
        if rows is None:
            return NotFound(f"Request for unknown model: {_quoted(name)} is not found")
        labels = self._labels.get(name, {})
        if not version and STABLE not in labels:
            return NotReady(f"Model {_quoted(name)} is not ready: {_said(rows)}")
        if (label := version or STABLE) in labels:
            row = rows.get(labels[label])
            why = _why(row) if row is not None else "not served"
            return NotReady(
                f"Model {_quoted(name)} label {label!r} is not ready: version {labels[label]} is"
                f" {why}"
            )
        if LABEL.fullmatch(version):
            there = ", ".join(f"{label} ({number})" for label, number in sorted(labels.items()))
            return NotFound(
                f"Model {_quoted(name)} has no label {version!r}: its labels are"
                f" {there or 'none'}; its versions {', '.join(self.versions(name)) or 'none'}"
            )
        if VERSION.fullmatch(version) is None:
            return InvalidRequest(
                f"model version {shown(version)} is neither a number from 1 without leading zeros"
                " nor a label; leave it out for the latest"
            )
        row = rows.get(int(version)) or rows.get(WHOLE_MODEL)
        if row is None:
            return NotFound(
                f"Request for unknown model: {_quoted(name)} version {version} is not found"
            )
        return NotReady(f"Model {_quoted(name)} version {version} is not ready: {_why(row)}")


def _index_row(name: str, version: int, state: ModelState, reason: str) -> dict[str, Any]:
    return {"name": name, "version": _text(version), "state": state.value, "reason": reason}


def _text(version: int) -> str:
    return "" if version == WHOLE_MODEL else str(version)


def _quoted(name: str) -> str:
    """A name as Triton quotes it; one that no model has may be long or hold anything."""
    return f"'{name}'" if len(name) <= 256 and name.isprintable() else shown(name)


def _why(row: _Row[Any]) -> str:
    return f"{row.state}, {row.reason}" if row.reason else row.state.value


def _said(rows: dict[int, _Row[Any]]) -> str:
    return "; ".join(
        f"version {version} is {_why(row)}" if version else _why(row)
        for version, row in sorted(rows.items())
    )
