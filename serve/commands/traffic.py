"""``penstock models split``, ``shadow``, ``label``, ``rollback``: what changes traffic at once."""

from __future__ import annotations

import math
from typing import Annotated, Any
from urllib.parse import quote, urlencode

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
from serve.config.traffic import target_name

__all__ = ["add_to"]

CONTROL_TIMEOUT_S = 700.0
"""Beyond the longest load that the server allows unless told otherwise."""
STICKY_KINDS = ("header", "parameter", "input")
NOT_STICKY = "none"

Label = Annotated[str, typer.Argument(help="The label, as in canary.", metavar="LABEL")]


def add_to(models: typer.Typer) -> None:
    """Make all commands of ``penstock models`` that tell or change traffic."""
    for command, example in (
        (traffic, "traffic fraud"),
        (split, "split fraud stable=95 canary=5 --sticky header:x-user"),
        (shadow, "shadow fraud --to 4 --percent 10"),
        (unshadow, "unshadow fraud"),
        (label, "label fraud canary 4"),
        (unlabel, "unlabel fraud canary"),
        (rollback, "rollback fraud --why 'scores look wrong'"),
        (reset, "reset fraud"),
        (load, "load fraud"),
        (unload, "unload fraud"),
        (audit, "audit fraud"),
    ):
        models.command(epilog=f"Example: penstock models {example}")(command)


def traffic(
    model: Model,
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Which versions answer, by which rules, and how each of them fares."""
    _traffic(Server(admin, key, key_file), model, as_json=as_json)


def split(
    model: Model,
    weights: Annotated[
        list[str] | None,
        typer.Argument(
            help="Weights by version or label, as in stable=95 canary=5; none: all to stable.",
            metavar="[TARGET=WEIGHT]...",
            show_default=False,
        ),
    ] = None,
    sticky: Annotated[
        str | None,
        typer.Option(
            help="Tell callers apart, so that each meets the same version: header:NAME,"
            " parameter:NAME or input:NAME; none: by chance. Default: as it was.",
            metavar="BY",
        ),
    ] = None,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Divide the requests that name no version among versions."""
    body: dict[str, Any] = {"split": _weights(weights or ()), "why": why}
    if sticky is not None:
        body["sticky"] = _sticky(sticky)
    _change(Server(admin, key, key_file), model, "PUT", "/split", body, as_json=as_json)


def shadow(
    model: Model,
    to: Annotated[str, typer.Option(help="The version, or a label of it.", metavar="TARGET")],
    percent: Annotated[float, typer.Option(help="Share of requests that is copied.")] = 100.0,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Answers agree while no number differs by more; default: 0.001."),
    ] = None,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy requests to a version whose answers nobody gets, and compare them."""
    fields: dict[str, Any] = {"to": target_name(to), "percent": percent}
    if tolerance is not None:
        fields["tolerance"] = tolerance
    body = {"shadow": fields, "why": why}
    _change(Server(admin, key, key_file), model, "PUT", "/shadow", body, as_json=as_json)


def unshadow(
    model: Model,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy requests to nobody."""
    server = Server(admin, key, key_file)
    _change(server, model, "DELETE", "/shadow", {"why": why}, as_json=as_json)


def label(
    model: Model,
    label: Label,
    version: Annotated[int, typer.Argument(help="The version's number.", metavar="VERSION")],
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a label stand for a version, from now on. The version of `stable` answers by default."""
    body = {"version": version, "why": why}
    server = Server(admin, key, key_file)
    _change(server, model, "PUT", _label_path(label), body, as_json=as_json)


def unlabel(
    model: Model,
    label: Label,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a label stand for nothing."""
    server = Server(admin, key, key_file)
    _change(server, model, "DELETE", _label_path(label), {"why": why}, as_json=as_json)


def rollback(
    model: Model,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Give all traffic to the version before, at once; ends a rollout or a split."""
    server = Server(admin, key, key_file)
    _change(server, model, "POST", "/rollback", {"why": why}, as_json=as_json)


def reset(
    model: Model,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Go back to what model.yaml says of labels and traffic."""
    server = Server(admin, key, key_file)
    _change(server, model, "DELETE", "/traffic", {"why": why}, as_json=as_json)


def load(
    model: Model,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
) -> None:
    """Load a model, or load it again, as the repository has it; waits until it is ready."""
    _control(Server(admin, key, key_file), model, "load", why)
    typer.echo(f"{model} is loaded")


def unload(
    model: Model,
    why: Why = "",
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
) -> None:
    """Take a model out of service; waits until it is freed."""
    _control(Server(admin, key, key_file), model, "unload", why)
    typer.echo(f"{model} is unloaded")


def audit(
    model: Annotated[str, typer.Argument(help="Lines of this model only.", metavar="MODEL")] = "",
    limit: Annotated[int, typer.Option(help="Most lines.", min=1, max=10_000)] = 20,
    before: Annotated[int, typer.Option(help="Read on below this number.", min=0)] = 0,
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Who has changed what, when and why; the newest first."""
    from serve.commands.traffic_text import audit_text
    from serve.traffic.state import Audit

    query = urlencode({"model": model, "limit": limit, "before": before})
    lines = Server(admin, key, key_file).ask(f"/audit?{query}", list[Audit])
    if as_json:
        show(lines)
    else:
        typer.echo(audit_text(lines))


def _traffic(server: Server, model: str, *, as_json: bool) -> None:
    from serve.commands.traffic_text import traffic_text
    from serve.traffic.report import ModelTraffic

    report = server.of_model(model, "/traffic", ModelTraffic)
    if as_json:
        show(report)
    else:
        typer.echo(traffic_text(report))


def _change(
    server: Server, model: str, method: str, path: str, body: Any, *, as_json: bool
) -> None:
    """Have something changed, and tell how it is then."""
    from serve.traffic.state import ModelState

    state = server.of_model(model, path, ModelState, method=method, body=body)
    if as_json:
        show(state)
    else:
        _traffic(server, model, as_json=False)


def _control(server: Server, model: str, what: str, why: str) -> None:
    body = {"why": why}
    server.of_model(model, f"/{what}", dict, method="POST", body=body, timeout_s=CONTROL_TIMEOUT_S)


def _label_path(label: str) -> str:
    return f"/labels/{quote(label, safe='')}"


def _weights(given: Any) -> dict[str, float]:
    weights: dict[str, float] = {}
    for text in given:
        target, _, number = text.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"{text!r:.80}: should be TARGET=WEIGHT, as in stable=95 or 4=5")
        if target_name(target) in weights:
            raise ValueError(f"{target} is given two weights")
        weights[target] = weight
    return weights


def _sticky(text: str) -> dict[str, str]:
    if text == NOT_STICKY:
        return {}
    kind, _, name = text.partition(":")
    if kind not in STICKY_KINDS or not name:
        raise ValueError(
            f"--sticky {text!r:.80}: should be header:NAME, parameter:NAME, input:NAME or none"
        )
    return {kind: name}
