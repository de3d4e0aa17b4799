"""Flags of the commands that talk to a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import quote

import typer

from serve.config import AdminSettings

__all__ = ["DEFAULT_ADMIN", "Admin", "AsJson", "Key", "KeyFile", "Model", "Server", "Why", "show"]

T = TypeVar("T")

DEFAULT_ADMIN = f"http://{AdminSettings().host}:{AdminSettings().port}"

Model = Annotated[str, typer.Argument(help="The model.", metavar="MODEL")]
Admin = Annotated[
    str,
    typer.Option(
        help="Admin port of the server: a URL, or host:port.",
        envvar="PENSTOCK_ADMIN",
        metavar="URL",
    ),
]
Key = Annotated[
    str,
    typer.Option(
        help="Key of the admin port; rather in the variable, which others do not see in `ps`.",
        envvar="PENSTOCK_ADMIN_KEY",
        metavar="KEY",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the key.", envvar="PENSTOCK_ADMIN_KEY_FILE", metavar="FILE", dir_okay=False
    ),
]
Why = Annotated[str, typer.Option(help="For the audit log.", metavar="TEXT")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


class Server(NamedTuple):
    """Where the admin port is, and the key to it."""

    admin: str
    key: str = ""
    key_file: Path | None = None

    def ask(self, path: str, answer: type[T], **how: Any) -> T:
        """See ``admin_client.ask``."""
        from serve.commands.admin_client import ask

        key = self.key
        if not key and self.key_file is not None:
            key = self.key_file.read_text().strip()
        if key and not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError("the key should be ASCII without spaces: look at --key and --key-file")
        return ask(self.admin, path, answer, key=key, **how)

    def of_model(self, model: str, path: str, answer: type[T], **how: Any) -> T:
        """``ask`` for a path of a model."""
        return self.ask(f"/models/{quote(model, safe='')}{path}", answer, **how)


def show(value: Any) -> None:
    """Print a value as JSON."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
