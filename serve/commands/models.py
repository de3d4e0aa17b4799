"""``penstock models``: what a running server serves, and what to change of its traffic."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import typer.core

from serve.commands import registry, rollout, traffic
from serve.commands.admin_flags import DEFAULT_ADMIN, Admin, AsJson, Key, KeyFile, Server
from serve.commands.admin_flags import show as show_json

__all__ = ["models"]

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
    help="What a running server serves, and its traffic; without a command: list.",
    epilog="Example: penstock models --admin localhost:8002",
)


@models.callback()
def group() -> None:
    """What a running server serves; without a command: list."""


@models.command(DEFAULT, epilog="Example: penstock models --json")
def list_models(
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    replicas: Annotated[bool, typer.Option(help="A line for each replica.")] = False,
    as_json: AsJson = False,
) -> None:
    """Versions, their states, why one is not served, and the replicas that run them."""
    from serve.commands.models_table import models_table
    from serve.gateway.overview import Overview

    overview = Server(admin, key, key_file).ask("/status", Overview)
    if as_json:
        show_json(overview)
    else:
        typer.echo(models_table(overview, replicas=replicas))


@models.command(epilog="Example: penstock models show fraud")
def show(
    name: Annotated[str, typer.Argument(help="The model.")],
    admin: Admin = DEFAULT_ADMIN,
    key: Key = "",
    key_file: KeyFile = None,
    as_json: AsJson = False,
) -> None:
    """What each version is: labels, lineage, metrics and profile from its manifest."""
    from serve.commands.model_text import model_text
    from serve.gateway.details import Details
    from serve.gateway.overview import Overview

    server = Server(admin, key, key_file)
    known = dict.fromkeys(row.name for row in server.ask("/status", Overview).models)
    if name not in known:
        raise ValueError(f"the server has no model {name!r}; it has {', '.join(known) or 'none'}")
    details = server.of_model(name, "", Details)
    if as_json:
        show_json(details)
    else:
        typer.echo(model_text(details))


for part in (traffic, rollout, registry):
    part.add_to(models)
