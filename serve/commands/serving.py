"""``penstock serve``: flags become settings, and the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from serve.commands.flags import (
    ADMIN,
    GRPC,
    HTTP,
    OWN,
    Cache,
    admin_flag,
    described,
    grpc_flag,
    http_flag,
    own_flag,
)
from serve.commands.registry import TRACKING_URI, follow_sources
from serve.commands.repository import Repo, is_remote, place_of
from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings

__all__ = ["ServeCommand", "serve"]


class ServeCommand(typer.core.TyperCommand):
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


def serve(
    repo: Repo,
    host: Annotated[str, typer.Option(help="Address of HTTP and gRPC.")] = HTTP.host,
    http_port: Annotated[int, typer.Option(help="HTTP port; 0: any free one.")] = HTTP.port,
    grpc_port: Annotated[int, typer.Option(help="gRPC port; 0: any free one.")] = GRPC.port,
    admin_port: Annotated[int, typer.Option(help="Port of /metrics and probes.")] = ADMIN.port,
    admin_host: Annotated[str, typer.Option(help="Address of the admin port.")] = ADMIN.host,
    admin_keys: Annotated[Path | None, admin_flag("keys_file")] = ADMIN.keys_file,
    http: Annotated[bool, typer.Option(help="Listen for HTTP.")] = True,
    grpc: Annotated[bool, typer.Option(help="Listen for gRPC.")] = True,
    server_name: Annotated[str, own_flag("name")] = OWN.name,
    strict: Annotated[bool, own_flag("strict")] = OWN.strict,
    triton_compat: Annotated[bool, own_flag("triton_compat")] = OWN.triton_compat,
    drain_timeout: Annotated[float, own_flag("drain_timeout_s")] = OWN.drain_timeout_s,
    load_timeout: Annotated[float, own_flag("load_timeout_s")] = OWN.load_timeout_s,
    model_control_mode: Annotated[
        Literal["none", "poll", "explicit"], own_flag("model_control_mode")
    ] = OWN.model_control_mode,
    repository_poll_secs: Annotated[
        float, own_flag("repository_poll_secs")
    ] = OWN.repository_poll_secs,
    load_model: Annotated[list[str], own_flag("load_model")] = [],  # noqa: B006 - typer copies it
    repository_cache: Cache = OWN.repository_cache,
    tracking_uri: Annotated[
        str | None,
        typer.Option(help=described(ServerSettings, "tracking_uri"), envvar=TRACKING_URI),
    ] = OWN.tracking_uri,
    registry_poll_secs: Annotated[float, own_flag("registry_poll_secs")] = OWN.registry_poll_secs,
    state: Annotated[Path | None, own_flag("state")] = OWN.state,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], own_flag("log_level")
    ] = OWN.log_level,
    log_format: Annotated[Literal["text", "json"], own_flag("log_format")] = OWN.log_format,
    access_log: Annotated[bool, own_flag("access_log")] = OWN.access_log,
    cache_bytes: Annotated[int, own_flag("cache_bytes")] = OWN.cache_bytes,
    cache_redis: Annotated[str | None, own_flag("cache_redis")] = OWN.cache_redis,
    cache_redis_timeout: Annotated[
        float, own_flag("cache_redis_timeout_s")
    ] = OWN.cache_redis_timeout_s,
    max_body_bytes: Annotated[int, http_flag("max_body_bytes")] = HTTP.max_body_bytes,
    max_header_bytes: Annotated[int, http_flag("max_header_bytes")] = HTTP.max_header_bytes,
    max_connections: Annotated[int, http_flag("max_connections")] = HTTP.max_connections,
    max_inflight_bytes: Annotated[int, http_flag("max_inflight_bytes")] = HTTP.max_inflight_bytes,
    header_timeout: Annotated[float, http_flag("header_timeout_s")] = HTTP.header_timeout_s,
    body_timeout: Annotated[float, http_flag("body_timeout_s")] = HTTP.body_timeout_s,
    idle_timeout: Annotated[float, http_flag("idle_timeout_s")] = HTTP.idle_timeout_s,
    write_timeout: Annotated[float, http_flag("write_timeout_s")] = HTTP.write_timeout_s,
    grpc_max_message_bytes: Annotated[int, grpc_flag("max_message_bytes")] = GRPC.max_message_bytes,
    grpc_max_inflight_bytes: Annotated[
        int, grpc_flag("max_inflight_bytes")
    ] = GRPC.max_inflight_bytes,
    grpc_max_concurrent_rpcs: Annotated[
        int, grpc_flag("max_concurrent_rpcs")
    ] = GRPC.max_concurrent_rpcs,
    tls_cert: Annotated[Path | None, http_flag("tls_cert")] = HTTP.tls_cert,
    tls_key: Annotated[Path | None, http_flag("tls_key")] = HTTP.tls_key,
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
        admin=AdminSettings(host=admin_host, port=admin_port, keys_file=admin_keys),
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
        state=state,
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
    root, renew = place_of(repo, settings.repository_cache)
    return serve_on_ray(root, settings, GatewayApp, address, gateways, renew)


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
