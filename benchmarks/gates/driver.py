"""What a run needs of scenarios and servers, and who is told how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from benchmarks.gates.outcome import Contender
from benchmarks.measurement import Measurement

__all__ = ["Driver", "Progress", "Silent"]


class Driver(Protocol):
    """Servers and scenarios. Blocks while it measures; used by one thread."""

    def contenders(self) -> tuple[Contender, ...]:
        """The candidate, and the baseline if there is one."""

    def summary(self, scenario: str) -> str:
        """What a scenario measures, in a sentence.

        Raises:
            UnsupportedError: there is no such scenario.
        """

    def parameters(self, scenario: str) -> Mapping[str, Any]:
        """A scenario's parameters and their defaults.

        Raises:
            UnsupportedError: there is no such scenario.
        """

    def measure(self, scenario: str, params: Mapping[str, Any], seed: int) -> Measurement:
        """One attempt.

        Raises:
            Interrupted: SIGINT; carries what was measured.
        """


class Progress(Protocol):
    """Told what is under way."""

    def say(self, text: str) -> None:
        """A line for people."""

    def scenario(self, name: str, number: int, of: int) -> None:
        """A scenario begins."""

    def update(self, what: str, part: float | None) -> None:
        """What it does just now, and the part of that which is over."""


class Silent:
    """Tells nobody."""

    def say(self, text: str) -> None:
        pass

    def scenario(self, name: str, number: int, of: int) -> None:
        pass

    def update(self, what: str, part: float | None) -> None:
        pass
