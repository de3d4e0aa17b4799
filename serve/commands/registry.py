"""``penstock models pull`` and ``push``: versions from MLflow's registry, and into it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve.errors import PenstockError

__all__ = ["TRACKING_URI", "Alias", "TrackingUri", "add_to", "follow_sources", "push_version"]

TRACKING_URI = "MLFLOW_TRACKING_URI"
"""MLflow's own variable, which also its clients read."""

TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="Where MLflow's registry is, as in http://mlflow:5000.",
        envvar=TRACKING_URI,
        metavar="URI",
    ),
]
Alias = Annotated[
    str, typer.Option(help="Let this alias stand for the version from now on.", metavar="ALIAS")
]


def add_to(models: typer.Typer) -> None:
    """Make both commands of ``penstock models``."""
    models.command(epilog="Example: penstock models pull models --tracking-uri http://mlflow:5000")(
        pull
    )
    models.command(epilog="Example: penstock models push models/fraud/3 --alias champion")(push)


def pull(
    place: Annotated[
        Path,
        typer.Argument(
            help="A model's folder, or a repository: all of its models that have a `source`.",
            metavar="MODEL_FOLDER|REPO",
        ),
    ] = Path("models"),
    tracking_uri: TrackingUri = None,
) -> None:
    """Bring the version that `source` in model.yaml stands for: the next numbered folder.

    A server with --model-control-mode poll does so by itself. Exit 1 if any model's failed.
    """
    from serve.registry.mlflow_client import open_mlflow
    from serve.registry.pull import pull as pull_one
    from serve.registry.pull import sources_in

    folders = [place] if (place / "model.yaml").is_file() else sources_in(place)
    if not folders:
        raise ValueError(
            f"no model in {place} has a `source`, so there is nothing to pull: add one to its"
            " model.yaml, as in `source: models:/fraud@champion`"
        )
    registry = open_mlflow(tracking_uri)
    failed = False
    for folder in folders:
        try:
            done = pull_one(folder, registry)
        except PenstockError as error:
            failed = True
            typer.echo(f"penstock: {error}", err=True)
            continue
        what = f"{done.reference} is version {done.registered.number}"
        typer.echo(f"{what}: {'pulled to' if done.new else 'there already,'} {done.version}")
    if failed:
        raise typer.Exit(1)


def push(
    version: Annotated[
        Path, typer.Argument(help="A version's folder, as in models/fraud/3.", metavar="VERSION")
    ],
    name: Annotated[
        str, typer.Option(help="Name of the registered model; default: the model's own.")
    ] = "",
    alias: Alias = "",
    tracking_uri: TrackingUri = None,
) -> None:
    """Register a version: its files, metrics, steps, report and lineage. Again does nothing."""
    typer.echo(push_version(version, name, alias, tracking_uri))


def follow_sources(root: Path, tracking_uri: str, every_s: float) -> None:
    """From now on pull what the sources of a repository's models stand for, in a thread."""
    from serve.registry.follow import SourceFollower
    from serve.registry.mlflow_client import open_mlflow

    SourceFollower(root, lambda: open_mlflow(tracking_uri)).start(every_s)


def push_version(version: Path, name: str, alias: str, tracking_uri: str | None) -> str:
    """Register a version under ``name``, or its model's own; what was done, for people.

    Raises:
        RepositoryError: it could not be done.
    """
    from serve.registry.mlflow_client import open_mlflow
    from serve.registry.push import push as push_one

    name = name or version.absolute().parent.name
    made, new = push_one(version, name, open_mlflow(tracking_uri), alias)
    what = f"models:/{made.name}/{made.number}"
    said = f"registered {version} as {what}" if new else f"{version} is registered, as {what}"
    return f"{said}, which {alias} stands for" if alias else said
