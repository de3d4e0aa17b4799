"""Which changes of a repository have come to rest, and which are still being made.

A folder that is being copied grows from one look to the next. So what counts is what two looks in
a row have seen alike. Whoever renames a finished folder into place is safe in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve.repository.prints import ModelPrint

__all__ = ["Change", "Settling"]


@dataclass(frozen=True, slots=True)
class Change:
    """A model that is to be served otherwise; ``print`` None: its folder is gone.

    ``hidden`` are versions that are still being written, and must not be looked at.
    """

    name: str
    print: ModelPrint | None
    hidden: frozenset[int] = frozenset()


class Settling:
    """Compares looks at a repository with each other, and with what is served."""

    def __init__(self, seen: Mapping[str, ModelPrint]) -> None:
        """``seen`` is what was served at first."""
        self._before = dict(seen)
        self._served = dict(seen)

    def look(self, now: Mapping[str, ModelPrint]) -> list[Change]:
        """What has to be done, by name. It is taken as done: it is not asked for again."""
        changes = []
        for name in sorted({*now, *self._served}):
            served = self._served.get(name)
            change = _change(name, served, self._before.get(name), now.get(name))
            if change is None or change.print == served:
                continue
            changes.append(change)
            if change.print is None:
                del self._served[name]
            else:
                self._served[name] = change.print
        self._before = dict(now)
        return changes


def _change(
    name: str, served: ModelPrint | None, before: ModelPrint | None, now: ModelPrint | None
) -> Change | None:
    """What to make of a model; None: wait for the next look."""
    if now is None:
        return Change(name, None) if before is None else None
    if before is None or before.beside != now.beside:
        return None
    in_use = served.versions if served is not None else {}
    if any(number not in now.versions for number in before.versions):
        return None
    moving = {n for n, marks in now.versions.items() if before.versions.get(n) != marks}
    if any(number in in_use and in_use[number] != now.versions[number] for number in moving):
        # What answers now is being written over: nothing is to be concluded from the rest.
        return None
    hidden = frozenset(moving - in_use.keys())
    if hidden == now.versions.keys() and hidden:
        return None  # the first version of a model is still coming
    return Change(name, now.without(hidden), hidden)
