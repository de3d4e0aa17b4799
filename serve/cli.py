"""The ``penstock`` command. Only it and ``serve.commands`` read flags and the environment.

Heavy imports are inside the commands, so that ``penstock --help`` answers at once.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from serve.commands.admin_key import admin_key
from serve.commands.flags import OWN, Cache, in_flags, own_flag
from serve.commands.models import models
from serve.commands.optimize import OptimizeCommand, optimize
from serve.commands.repository import Repo, place_of
from serve.commands.serving import ServeCommand, serve
from serve.config import ServerSettings
from serve.errors import PenstockError

__all__ = ["app", "main", "run"]

MODEL_THREADS = "penstock-"
"""How the names of all threads begin that run models."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": "PENSTOCK", "max_content_width": 100},
    help="Serve a folder of models over HTTP and gRPC, batched, inside their SLO.",
)
app.add_typer(models, name="models")
app.command(
    cls=ServeCommand,
    epilog="Example: penstock serve models --http-port 8000. Every flag is also an environment"
    " variable: PENSTOCK_SERVE_HTTP_PORT=8000.",
)(serve)
app.command(name="admin-key", epilog="Example: penstock admin-key ci --file keys.yaml")(admin_key)
app.command(cls=OptimizeCommand, epilog="Example: penstock optimize models/fraud")(optimize)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.command(epilog="Example: penstock check models --json")
def check(
    repo: Repo,
    as_json: AsJson = False,
    repository_cache: Cache = OWN.repository_cache,
    load_timeout: Annotated[float, own_flag("load_timeout_s")] = OWN.load_timeout_s,
) -> None:
    """Load every model without serving it, and explain what is wrong. Exit 1 if anything is."""

    from serve.gateway.check import UNBUILT, check_repository

    root, _ = place_of(repo, repository_cache)
    findings = []
    settings = ServerSettings(load_timeout_s=load_timeout)
    for finding in check_repository(root, settings.load_timeout_s):
        findings.append(finding)
        if not as_json:
            typer.echo(finding.as_text())
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    if any(finding.state not in ("READY", UNBUILT) for finding in findings):
        raise typer.Exit(1)


@app.command(epilog="Example: penstock init fraud --from fraud.onnx --repo models")
def init(
    name: Annotated[str, typer.Argument(help="Name of the new model.")],
    source: Annotated[Path, typer.Option("--from", help="A model.onnx or a model.py.")],
    repo: Annotated[Path, typer.Option(help="Repository to add it to.")] = Path("models"),
) -> None:
    """Add a model to a repository: its folder, settings and card."""

    from serve.repository.scaffold import create

    for path in create(name, source, repo):
        typer.echo(f"made {path}")
    typer.echo(f"next: edit {repo / name / 'model.yaml'}, then: penstock check {repo}")


@app.command(epilog="Example: penstock schema > model.schema.json")
def schema() -> None:
    """Print the JSON schema of model.yaml, for editors."""
    from serve.repository.schema import model_schema

    typer.echo(json.dumps(model_schema(), indent=2))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(importlib.metadata.version("penstock"))


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def bench(context: typer.Context) -> None:
    """Measure a server and judge it by a gate file: ship, or do not ship."""
    try:
        from benchmarks.cli import main as bench_main
    except ModuleNotFoundError as error:
        raise ValueError(
            f"`penstock bench` needs the package {error.name}: install the bench extra with"
            " `pip install 'penstock[bench]'`"
        ) from error
    bench_main(context.args)


def run() -> int:
    """Run the command of ``sys.argv``; the exit code.

    What a user can mend is one line, no traceback.
    """
    try:
        app()
    except ValidationError as error:
        typer.echo(f"penstock: {in_flags(error)}", err=True)
    except (PenstockError, OSError, ValueError) as error:
        typer.echo(f"penstock: {error}", err=True)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    else:
        return 0
    return 2


def main() -> None:
    """Entry point of the ``penstock`` command."""
    code = run()
    if any(thread.name.startswith(MODEL_THREADS) for thread in threading.enumerate()):
        # A model is still at work. Native code that comes back to an interpreter which has ended
        # would abort the process, and with it the exit code.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
