"""``penstock admin-key``: a new key for the admin port."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve.commands.admin_flags import AsJson, show

__all__ = ["admin_key"]


def admin_key(
    name: Annotated[str, typer.Argument(help="Whose key it is, as in ci: the audit log says so.")],
    file: Annotated[
        Path | None,
        typer.Option(help="File of --admin-keys that it is added to; made if it is not there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key: its line for the file of `penstock serve --admin-keys`, and the secret itself.

    The secret is shown this once and kept nowhere. A server reads the file when it starts.
    """
    from serve.transport.admin.keys import add_key, make_key

    made = make_key(name)
    if file is not None:
        add_key(file, made)
    if as_json:
        show({"name": name, "key": made.secret, "line": made.line})
        return
    typer.echo(f"key:  {made.secret}")
    typer.echo(f"line: {made.line}" + (f" (is in {file} now)" if file is not None else ""))
