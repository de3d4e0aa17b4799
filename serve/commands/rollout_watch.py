"""A rollout shown to its end: alive in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from serve.commands.admin_flags import Server, show
from serve.commands.traffic_text import duration, rollout_line, verdict_text
from serve.traffic.report import ModelTraffic
from serve.traffic.state import Rollout, RolloutStatus

__all__ = ["watch_rollout"]

EVERY_S = 1.0
PATIENCE_S = 120.0
"""A server that is started again goes on with its rollouts, so one waits for it."""
COLOURS = {"holds": "green", "breached": "bold red", "waiting": "yellow", "off": "dim"}
INTERRUPTED = 130


class Screen(Protocol):
    """Where people look."""

    def __enter__(self) -> object: ...

    def __exit__(self, *error: object) -> None: ...

    def see(self, report: ModelTraffic, rollout: Rollout) -> None:
        """Show how it goes."""

    def say(self, text: str) -> None:
        """Tell something else."""


def watch_rollout(
    server: Server,
    model: str,
    *,
    as_json: bool = False,
    wait: Callable[[float], None] = time.sleep,
    clock_s: Callable[[], float] = time.monotonic,
) -> int:
    """Show the rollout of a model until it ends; the exit code: 0 completed, 1 otherwise.

    Raises:
        ConnectionError: the server has not answered for two minutes.
        ValueError: there is no rollout.
    """
    console = Console()
    screen: Screen = _Alive(console) if console.is_terminal and not as_json else _Lines(as_json)
    began_s: float | None = None
    heard_s = clock_s()
    try:
        with screen:
            while True:
                try:
                    report = server.of_model(model, "/traffic", ModelTraffic)
                except ConnectionError as error:
                    if began_s is None or clock_s() - heard_s > PATIENCE_S:
                        raise
                    screen.say(f"{error}; the rollout goes on when it is back")
                    wait(EVERY_S)
                    continue
                heard_s, rollout = clock_s(), report.rollout
                if rollout is None or began_s not in (None, rollout.began_s):
                    if began_s is None:
                        raise ValueError(f"{model} has no rollout; begin one with --to VERSION")
                    screen.say("the rollout is not there any more: see `penstock models audit`")
                    return 1
                began_s = rollout.began_s
                screen.see(report, rollout)
                if not rollout.active:
                    break
                wait(EVERY_S)
    except KeyboardInterrupt:
        typer.echo(f"the rollout goes on: see `penstock models rollout {model}`", err=True)
        return INTERRUPTED
    return 0 if rollout.status is RolloutStatus.COMPLETED else 1


class _Lines:
    """Each change as a line: of the step, and of what a guard says."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._said: set[tuple[Any, ...]] = set()
        self._last = ""

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to put away."""

    def see(self, report: ModelTraffic, rollout: Rollout) -> None:
        self._last = ""
        place = (rollout.status, rollout.step, rollout.holds)
        if place not in self._said:
            self._said.add(place)
            if self._as_json:
                show({"rollout": rollout, "verdicts": report.verdicts})
            else:
                typer.echo(rollout_line(rollout))
        for verdict in report.verdicts if rollout.active and not self._as_json else ():
            said = (rollout.step, rollout.holds, verdict.guard, verdict.state)
            if verdict.state != "off" and said not in self._said:
                self._said.add(said)
                typer.echo(f"    {verdict.guard.value} {verdict.state}: {verdict_text(verdict)}")

    def say(self, text: str) -> None:
        if text != self._last:
            self._last = text
            typer.echo(text, err=True)


class _Alive:
    """A picture that changes in its place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._shown = Group()

    def __enter__(self) -> _Alive:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def see(self, report: ModelTraffic, rollout: Rollout) -> None:
        self._shown = picture(report, rollout, datetime.now(UTC).timestamp())
        self._live.update(self._shown, refresh=True)

    def say(self, text: str) -> None:
        self._live.update(Group(self._shown, Text(text, style="yellow")), refresh=True)


def picture(report: ModelTraffic, rollout: Rollout, now_s: float) -> Group:
    """A rollout: its steps, how long the one that holds has held, and what the guards say."""
    steps = Text()
    done = rollout.status is RolloutStatus.COMPLETED
    for number, step in enumerate(rollout.steps):
        current = number == rollout.step and rollout.active
        style = "bold cyan" if current else "green" if done or number < rollout.step else "dim"
        steps.append(f"  {step:g} %" + ("*" if current else ""), style=style)
    parts: list[Any] = [Text(f"{report.model}: {rollout_line(rollout)}", style="bold"), steps]
    if rollout.status is RolloutStatus.HOLDING:
        held_s = min(rollout.hold_s, max(0.0, now_s - rollout.step_began_s))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=rollout.hold_s or 1.0, completed=held_s, width=40),
            f"{duration(round(held_s))} of {duration(rollout.hold_s)}",
        )
        parts.append(bar)
    if rollout.active:
        guards = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for verdict in report.verdicts:
            colour = COLOURS[verdict.state]
            guards.add_row(
                verdict.guard.value, Text(verdict.state, style=colour), Text(verdict_text(verdict))
            )
        parts.append(guards)
    return Group(*parts)
