"""Flags that stand for settings: their help, their names, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ValidationError

from serve.config import AdminSettings, GrpcSettings, HttpSettings, ServerSettings

__all__ = [
    "ADMIN",
    "GRPC",
    "HTTP",
    "OWN",
    "Cache",
    "admin_flag",
    "described",
    "flag_of",
    "grpc_flag",
    "http_flag",
    "in_flags",
    "own_flag",
]

HTTP, GRPC, ADMIN, OWN = HttpSettings(), GrpcSettings(), AdminSettings(), ServerSettings()
"""The defaults of every flag."""


def described(group: type[BaseModel], name: str) -> str:
    """The description of a setting."""
    return group.model_fields[name].description or ""


def http_flag(name: str) -> Any:
    """The flag of a setting of HTTP."""
    return typer.Option(help=described(HttpSettings, name), rich_help_panel="HTTP")


def grpc_flag(name: str) -> Any:
    """The flag of a setting of gRPC."""
    return typer.Option(help=described(GrpcSettings, name), rich_help_panel="gRPC")


def admin_flag(name: str) -> Any:
    """The flag of a setting of the admin port."""
    return typer.Option(help=described(AdminSettings, name), rich_help_panel="Admin port")


def own_flag(name: str) -> Any:
    """The flag of a setting of the server as a whole."""
    return typer.Option(help=described(ServerSettings, name), rich_help_panel="Server")


Cache = Annotated[Path | None, own_flag("repository_cache")]


def flag_of(group: str, field: str) -> str:
    """The flag that a field of the settings is read from."""
    prefixes = {"HttpSettings": "http", "GrpcSettings": "grpc", "AdminSettings": "admin"}
    shared = {"host", "tls_cert", "tls_key", "write_timeout_s"}
    if field == "message_timeout_s":
        field = "body_timeout_s"
    elif field == "name":
        field = "server_name"
    elif field == "keys_file":
        field = "admin_keys"
    elif (
        field == "port"
        or group == "AdminSettings"
        or (group == "GrpcSettings" and field not in shared)
    ):
        field = f"{prefixes[group]}_{field}"
    return f"--{field.removesuffix('_s').replace('_', '-')}"


def in_flags(error: ValidationError) -> str:
    """What is wrong with the flags, in one line."""
    problems = []
    for details in error.errors(include_url=False):
        text = details["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
        if details["loc"]:
            flag = flag_of(error.title, str(details["loc"][0]))
            text = f"{flag}: {text}, is {details['input']}"
        problems.append(text)
    return "; ".join(dict.fromkeys(problems))
