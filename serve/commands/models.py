"""``penstock models``: what a running server serves."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core

from serve.commands.registry import add_to
from serve.config import AdminSettings

__all__ = ["models"]

Admin = Annotated[
    str,
    typer.Option(
        help="Admin port of the server: a URL, or host:port.",
        envvar="PENSTOCK_ADMIN",
        metavar="URL",
    ),
]
DEFAULT_ADMIN = f"http://{AdminSettings().host}:{AdminSettings().port}"
DEFAULT = "list"


class _WithDefault(typer.core.TyperGroup):
    """A group one of whose commands need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without a command the flags are those of the default."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


models = typer.Typer(
    cls=_WithDefault,
    help="What a running server serves; without a command: list.",
    epilog="Example: penstock models --admin localhost:8002",
)
add_to(models)


@models.callback()
def group() -> None:
    """What a running server serves; without a command: list."""


@models.command(DEFAULT, epilog="Example: penstock models --json")
def list_models(
    admin: Admin = DEFAULT_ADMIN,
    replicas: Annotated[bool, typer.Option(help="A line for each replica.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Versions, their states, why one is not served, and the replicas that run them."""
    import msgspec

    from serve.commands.admin_client import ask
    from serve.commands.models_table import models_table
    from serve.gateway.overview import Overview

    overview = ask(admin, "/status", Overview)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(overview), indent=2))
    else:
        typer.echo(models_table(overview, replicas=replicas))


@models.command(epilog="Example: penstock models show fraud")
def show(
    name: Annotated[str, typer.Argument(help="The model.")],
    admin: Admin = DEFAULT_ADMIN,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """What each version is: labels, lineage, metrics and profile from its manifest."""
    from urllib.parse import quote

    import msgspec

    from serve.commands.admin_client import ask
    from serve.commands.model_text import model_text
    from serve.gateway.details import Details
    from serve.gateway.overview import Overview

    known = dict.fromkeys(row.name for row in ask(admin, "/status", Overview).models)
    if name not in known:
        raise ValueError(f"the server has no model {name!r}; it has {', '.join(known) or 'none'}")
    details = ask(admin, f"/models/{quote(name, safe='')}", Details)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(details), indent=2))
    else:
        typer.echo(model_text(details))
