"""``penstock optimize``: flags of the optimiser, and what is done with the version it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from serve.commands.registry import Alias, TrackingUri, push_version
from serve.errors import PenstockError

__all__ = ["OptimizeCommand", "optimize"]

OWN_NAME = "="
"""What ``--register`` stands for without a name; no registered model is called so."""
NOT_REGISTERED = 5


class OptimizeCommand(typer.core.TyperCommand):
    """``--register`` with or without a name, which the parser cannot do by itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """``--register`` before another flag, a folder, or the end takes the model's name."""
        following = [*args[1:], "-"]
        return super().parse_args(
            ctx,
            [
                f"{arg}={OWN_NAME}"
                if arg == "--register" and (after.startswith("-") or Path(after).is_dir())
                else arg
                for arg, after in zip(args, following, strict=True)
            ],
        )


def optimize(
    folder: Annotated[Path, typer.Argument(help="The model's folder.", metavar="MODEL_FOLDER")],
    target: Annotated[
        Literal["cpu", "cuda"] | None,
        typer.Option(help="Refuse, unless optimize.target.device is this one."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Print what would be tried, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    register: Annotated[
        str | None,
        typer.Option(
            help="Register the version in MLflow, by this name or the model's own.",
            metavar="[NAME]",
        ),
    ] = None,
    alias: Alias = "",
    tracking_uri: TrackingUri = None,
) -> None:
    """Make the fastest version of a model that passes its gates, or none.

    Exit 0: made, or nothing changed; 3: no candidate passes; 4: a measurement did not settle;
    5: made, and not registered.
    """
    try:
        from optimize.cli import main as optimize_main
    except ModuleNotFoundError as error:
        raise ValueError(
            f"`penstock optimize` needs the package {error.name}: install the extra with"
            " `pip install 'penstock[cpu,optimize]'`"
        ) from error
    if alias and register is None:
        raise ValueError("--alias goes with --register, and only with it")
    made: list[Path] = []
    if register is not None and not dry_run:
        from serve.registry.mlflow_client import open_mlflow

        open_mlflow(tracking_uri)  # what is missing is better told before the work than after it
    code = optimize_main(folder, target, dry_run, as_json, made.append)
    if register is not None and made:
        name = folder.resolve().name if register == OWN_NAME else register
        code = _register(made[0], name, alias, tracking_uri, quiet=as_json)
    if code:
        raise typer.Exit(code)


def _register(
    version: Path, name: str, alias: str, tracking_uri: str | None, *, quiet: bool
) -> int:
    try:
        typer.echo(push_version(version, name, alias, tracking_uri), err=quiet)
    except PenstockError as error:
        again = f"penstock models push {version} --name {name}"
        again += f" --alias {alias}" if alias else ""
        typer.echo(
            f"penstock: {version} was made, and is not registered: {error}; try again with"
            f" `{again}`",
            err=True,
        )
        return NOT_REGISTERED
    return 0
