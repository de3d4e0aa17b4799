"""``penstock models rollout``: begin one, look at it, pause it, watch it to its end."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import typer

from serve.commands.admin_flags import (
    DEFAULT_ADMIN,
    Admin,
    AsJson,
    Key,
    KeyFile,
    Model,
    Server,
    Why,
    show,
)

__all__ = ["add_to"]

DURATION = re.compile(r"([0-9]*\.?[0-9]+)\s*(ms|s|m|min|h|d|)")
UNITS_S = {"ms": 0.001, "s": 1, "": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
OFF = ("none", "off", "null")


def add_to(models: typer.Typer) -> None:
    """Make the command of ``penstock models``."""
    models.command(
        epilog="Example: penstock models rollout fraud --to 4 --steps 1,5,25,100 --hold 5m --watch"
    )(rollout)


def rollout(
    model: Model,
    action: Annotated[
        Literal["start", "status", "pause", "resume", "advance"] | None,
        typer.Argument(
            help="Default: start with --to, else status. advance: to the next step now.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        int | None, typer.Option(help="Version that is to be stable.", metavar="VERSION")
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            help="Percentages of the traffic, one after the other; default: 1,5,25,100.",
            metavar="LIST",
        ),
    ] = None,
    hold: Annotated[
        str | None,
        typer.Option(
            help="Shortest time at each step, as in 90s, 5m or 1h; default: 5m.", metavar="TIME"
        ),
    ] = None,
    guard: Annotated[
        list[str] | None,
        typer.Option(
            help="What has to hold, in place of traffic.guards in model.yaml, as in"
            " max_p99_ratio=2; =off: nothing. May be repeated.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(help="Show how it goes, to its end: exit 0 completed, 1 rolled back."),
    ] = False,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Give a version more and more of the traffic, while the guards hold; else roll back."""
    action = action or ("status" if to is None else "start")
    given = {"--to": to, "--steps": steps, "--hold": hold, "--guard": guard or None}
    server = Server(admin, key, key_file)
    body: dict[str, Any] = {"why": why}
    if action == "start":
        if to is None:
            raise ValueError("--to: which version? as in `penstock models rollout fraud --to 4`")
        body |= _plan(to, steps, hold, guard or [])
    elif extra := [flag for flag, value in given.items() if value is not None]:
        raise ValueError(f"{extra[0]} goes with the beginning of a rollout, not with {action}")
    if action != "status":
        _tell(server, model, "" if action == "start" else f"/{action}", body)
    if watch:
        from serve.commands.rollout_watch import watch_rollout

        raise typer.Exit(watch_rollout(server, model, as_json=as_json))
    _show(server, model, as_json=as_json)


def _tell(server: Server, model: str, path: str, body: Any) -> None:
    from serve.traffic.state import ModelState

    server.of_model(model, f"/rollout{path}", ModelState, method="POST", body=body)


def _show(server: Server, model: str, *, as_json: bool) -> None:
    from serve.commands.traffic_text import traffic_text
    from serve.traffic.report import ModelTraffic

    report = server.of_model(model, "/traffic", ModelTraffic)
    if as_json:
        show({"rollout": report.rollout, "verdicts": report.verdicts})
    elif report.rollout is None:
        typer.echo(f"{model} has had no rollout; begin one with --to VERSION")
    else:
        typer.echo(traffic_text(report))


def _plan(to: int, steps: str | None, hold: str | None, guards: list[str]) -> dict[str, Any]:
    plan: dict[str, Any] = {"to": to}
    if steps is not None:
        try:
            plan["steps"] = [float(step.strip().removesuffix("%")) for step in steps.split(",")]
        except ValueError:
            raise ValueError(
                f"--steps {steps!r:.80}: should be percentages, as in 1,5,25,100"
            ) from None
    if hold is not None:
        plan["hold_s"] = _seconds(hold)
    if guards:
        plan["guards"] = dict(_guard(text) for text in guards)
    return plan


def _seconds(text: str) -> float:
    found = DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"--hold {text!r:.80}: should be a time, as in 90s, 5m or 1h")
    return float(found[1]) * UNITS_S[found[2]]


def _guard(text: str) -> tuple[str, float | None]:
    name, _, value = text.partition("=")
    if value in OFF:
        return name, None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--guard {text!r:.80}: should be NAME=NUMBER or NAME=off")
    return name, int(number) if number.is_integer() else number
