"""The ``penstock`` command. The only place that reads flags and the environment.

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
from typing import Annotated, Any, Literal

import typer
import typer.core
from pydantic import BaseModel, ValidationError

from serve.commands.models import models
from serve.commands.optimize import OptimizeCommand, optimize
from serve.commands.registry import TRACKING_URI, follow_sources
from serve.commands.repository import Repo, is_remote, place_of
from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings
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
app.command(cls=OptimizeCommand, epilog="Example: penstock optimize models/fraud")(optimize)

HTTP, GRPC, ADMIN, OWN = HttpSettings(), GrpcSettings(), AdminSettings(), ServerSettings()
"""The defaults of every flag."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def _described(group: type[BaseModel], name: str) -> str:
    return group.model_fields[name].description or ""


def _http(name: str) -> Any:
    return typer.Option(help=_described(HttpSettings, name), rich_help_panel="HTTP")


def _grpc(name: str) -> Any:
    return typer.Option(help=_described(GrpcSettings, name), rich_help_panel="gRPC")


def _own(name: str) -> Any:
    return typer.Option(help=_described(ServerSettings, name), rich_help_panel="Server")


Cache = Annotated[Path | None, _own("repository_cache")]


def _flag(group: str, field: str) -> str:
    """The flag that a field of the settings is read from."""
    prefixes = {"HttpSettings": "http", "GrpcSettings": "grpc", "AdminSettings": "admin"}
    shared = {"host", "tls_cert", "tls_key", "write_timeout_s"}
    if field == "message_timeout_s":
        field = "body_timeout_s"
    elif field == "name":
        field = "server_name"
    elif (
        field == "port"
        or group == "AdminSettings"
        or (group == "GrpcSettings" and field not in shared)
    ):
        field = f"{prefixes[group]}_{field}"
    return f"--{field.removesuffix('_s').replace('_', '-')}"


def _in_flags(error: ValidationError) -> str:
    """What is wrong with the flags, in one line."""
    problems = []
    for details in error.errors(include_url=False):
        text = details["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
        if details["loc"]:
            flag = _flag(error.title, str(details["loc"][0]))
            text = f"{flag}: {text}, is {details['input']}"
        problems.append(text)
    return "; ".join(dict.fromkeys(problems))


class _ServeCommand(typer.core.TyperCommand):
    """``--ray`` with or without an address, which the parser cannot do by itself."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """``--ray`` before another flag, a folder, or the end is a cluster of one's own."""
        following = [*args[1:], "-"]
        return super().parse_args(
            ctx,
            [
                f"{arg}=local" if arg == "--ray" and not _is_address(after) else arg
                for arg, after in zip(args, following, strict=True)
            ],
        )


def _is_address(text: str) -> bool:
    if is_remote(text):
        return text.startswith("ray://")
    return text in ("auto", "local") or not (text.startswith("-") or Path(text).is_dir())


@app.command(
    cls=_ServeCommand,
    epilog="Example: penstock serve models --http-port 8000. Every flag is also an environment"
    " variable: PENSTOCK_SERVE_HTTP_PORT=8000.",
)
def serve(
    repo: Repo,
    host: Annotated[str, typer.Option(help="Address of HTTP and gRPC.")] = HTTP.host,
    http_port: Annotated[int, typer.Option(help="HTTP port; 0: any free one.")] = HTTP.port,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0: any free one.")] = GRPC.port,
    admin_port: Annotated[int, typer.Option(help="Port of /metrics and probes.")] = ADMIN.port,
    admin_host: Annotated[str, typer.Option(help="Address of the admin port.")] = ADMIN.host,
    http: Annotated[bool, typer.Option(help="Listen for HTTP.")] = True,
    grpc: Annotated[bool, typer.Option(help="Listen for gRPC.")] = True,
    server_name: Annotated[str, _own("name")] = OWN.name,
    strict: Annotated[bool, _own("strict")] = OWN.strict,
    triton_compat: Annotated[bool, _own("triton_compat")] = OWN.triton_compat,
    drain_timeout: Annotated[float, _own("drain_timeout_s")] = OWN.drain_timeout_s,
    load_timeout: Annotated[float, _own("load_timeout_s")] = OWN.load_timeout_s,
    model_control_mode: Annotated[
        Literal["none", "poll", "explicit"], _own("model_control_mode")
    ] = OWN.model_control_mode,
    repository_poll_secs: Annotated[float, _own("repository_poll_secs")] = OWN.repository_poll_secs,
    load_model: Annotated[list[str], _own("load_model")] = [],  # noqa: B006 - typer copies it
    repository_cache: Cache = OWN.repository_cache,
    tracking_uri: Annotated[
        str | None,
        typer.Option(help=_described(ServerSettings, "tracking_uri"), envvar=TRACKING_URI),
    ] = OWN.tracking_uri,
    registry_poll_secs: Annotated[float, _own("registry_poll_secs")] = OWN.registry_poll_secs,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _own("log_level")
    ] = OWN.log_level,
    log_format: Annotated[Literal["text", "json"], _own("log_format")] = OWN.log_format,
    access_log: Annotated[bool, _own("access_log")] = OWN.access_log,
    cache_bytes: Annotated[int, _own("cache_bytes")] = OWN.cache_bytes,
    cache_redis: Annotated[str | None, _own("cache_redis")] = OWN.cache_redis,
    cache_redis_timeout: Annotated[
        float, _own("cache_redis_timeout_s")
    ] = OWN.cache_redis_timeout_s,
    max_body_bytes: Annotated[int, _http("max_body_bytes")] = HTTP.max_body_bytes,
    max_header_bytes: Annotated[int, _http("max_header_bytes")] = HTTP.max_header_bytes,
    max_connections: Annotated[int, _http("max_connections")] = HTTP.max_connections,
    max_inflight_bytes: Annotated[int, _http("max_inflight_bytes")] = HTTP.max_inflight_bytes,
    header_timeout: Annotated[float, _http("header_timeout_s")] = HTTP.header_timeout_s,
    body_timeout: Annotated[float, _http("body_timeout_s")] = HTTP.body_timeout_s,
    idle_timeout: Annotated[float, _http("idle_timeout_s")] = HTTP.idle_timeout_s,
    write_timeout: Annotated[float, _http("write_timeout_s")] = HTTP.write_timeout_s,
    grpc_max_message_bytes: Annotated[int, _grpc("max_message_bytes")] = GRPC.max_message_bytes,
    grpc_max_inflight_bytes: Annotated[int, _grpc("max_inflight_bytes")] = GRPC.max_inflight_bytes,
    grpc_max_concurrent_rpcs: Annotated[
        int, _grpc("max_concurrent_rpcs")
    ] = GRPC.max_concurrent_rpcs,
    tls_cert: Annotated[Path | None, _http("tls_cert")] = HTTP.tls_cert,
    tls_key: Annotated[Path | None, _http("tls_key")] = HTTP.tls_key,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Run models in replicas on Ray: `local` starts a cluster on this machine, an"
            " address joins one, `auto` the one that this machine is a node of.",
            metavar="ADDRESS",
            rich_help_panel="Ray",
        ),
    ] = None,
    gateways: Annotated[
        int,
        typer.Option(
            help="Processes that answer clients, with --ray; 0: one, and on a cluster that was"
            " joined one on every node, or on every node that has the resource penstock_gateway.",
            min=0,
            rich_help_panel="Ray",
        ),
    ] = 0,
) -> None:
    """Serve a model repository until SIGTERM or SIGINT."""

    settings = ServerSettings(
        name=server_name,
        http=HttpSettings(
            host=host,
            port=http_port,
            max_body_bytes=max_body_bytes,
            max_header_bytes=max_header_bytes,
            max_connections=max_connections,
            max_inflight_bytes=max_inflight_bytes,
            header_timeout_s=header_timeout,
            body_timeout_s=body_timeout,
            idle_timeout_s=idle_timeout,
            write_timeout_s=write_timeout,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
        if http
        else None,
        grpc=GrpcSettings(
            host=host,
            port=grpc_port,
            max_message_bytes=grpc_max_message_bytes,
            max_inflight_bytes=grpc_max_inflight_bytes,
            max_concurrent_rpcs=grpc_max_concurrent_rpcs,
            message_timeout_s=body_timeout,
            write_timeout_s=write_timeout,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
        if grpc
        else None,
        admin=AdminSettings(host=admin_host, port=admin_port),
        strict=strict,
        triton_compat=triton_compat,
        drain_timeout_s=drain_timeout,
        load_timeout_s=load_timeout,
        model_control_mode=model_control_mode,
        repository_poll_secs=repository_poll_secs,
        load_model=tuple(load_model),
        repository_cache=repository_cache,
        tracking_uri=tracking_uri,
        registry_poll_secs=registry_poll_secs,
        log_level=log_level,
        log_format=log_format,
        access_log=access_log,
        cache_bytes=cache_bytes,
        cache_redis=cache_redis,
        cache_redis_timeout_s=cache_redis_timeout,
    )
    if ray is None:
        if gateways:
            raise ValueError(
                f"--gateways {gateways} goes with --ray, and only with it: without it one process"
                " answers clients and runs the models"
            )
        _run_server(repo, settings)
    elif model_control_mode != "none":
        raise ValueError(
            f"--model-control-mode {model_control_mode} is not offered with --ray: change the"
            " repository and send SIGHUP"
        )
    elif code := _run_on_ray(repo, settings, ray, gateways):
        raise typer.Exit(code)


def _run_on_ray(repo: str, settings: ServerSettings, address: str, gateways: int) -> int:
    if is_remote(repo) and address != "local" and settings.repository_cache is None:
        raise ValueError(
            f"{repo} on a cluster that was joined is copied to a folder that all nodes see: name it"
            " with --repository-cache"
        )
    from serve.app import GatewayApp
    from serve.executors.ray.run import serve_on_ray
    from serve.monitoring.logs import set_up_logs

    set_up_logs(settings.log_level, settings.log_format)
    root, _ = place_of(repo, settings.repository_cache)
    return serve_on_ray(root, settings, GatewayApp, address, gateways)


def _run_server(repo: str, settings: ServerSettings) -> None:
    import uvloop

    from serve.app import App
    from serve.monitoring.logs import set_up_logs

    set_up_logs(settings.log_level, settings.log_format)

    root, renew = place_of(repo, settings.repository_cache)
    if settings.model_control_mode == "poll" and settings.tracking_uri:
        follow_sources(root, settings.tracking_uri, settings.registry_poll_secs)

    async def run() -> None:
        await App(root, settings, renew=renew).run_until_signal()

    uvloop.run(run())


@app.command(epilog="Example: penstock check models --json")
def check(
    repo: Repo,
    as_json: AsJson = False,
    repository_cache: Cache = OWN.repository_cache,
    load_timeout: Annotated[float, _own("load_timeout_s")] = OWN.load_timeout_s,
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
        typer.echo(f"penstock: {_in_flags(error)}", err=True)
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
