"""Settings of the server process: one group for each socket it listens on, one for the whole.

The command line turns flags (and their environment variables) into these; nothing else reads
either. Field descriptions are the help texts of the flags.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from serve.config.base import Settings

__all__ = ["AdminSettings", "GrpcSettings", "HttpSettings", "ServerSettings"]

MIB = 1024 * 1024
MAX_TIMEOUT_S = 1e7
"""A third of a year: beyond it event loops cannot count."""


class HttpSettings(Settings):
    """The HTTP listener and its limits. Owner: the platform."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - a server
    port: int = Field(8000, ge=0, le=65535, description="Port; 0: any free one.")
    max_body_bytes: int = Field(
        64 * MIB, ge=1, description="Largest request body, before and after decompression."
    )
    max_header_bytes: int = Field(
        64 * 1024, ge=256, description="Most bytes of request line and headers together."
    )
    max_connections: int = Field(8192, ge=1, description="Open connections; more are refused.")
    max_inflight_bytes: int = Field(
        1024 * MIB,
        ge=1,
        description="Bytes of request bodies held at once over all connections; beyond it 503.",
    )
    header_timeout_s: float = Field(
        10.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="From the first byte of a request to the end of its headers.",
    )
    body_timeout_s: float = Field(
        60.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="From the end of the headers to the end of the body, or of a gRPC message.",
    )
    idle_timeout_s: float = Field(
        75.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="Life of a connection without a request under way.",
    )
    write_timeout_s: float = Field(
        60.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="Longest wait for a client that does not read its answers.",
    )
    tls_cert: Path | None = Field(None, description="Certificate chain, PEM; with it, HTTPS.")
    tls_key: Path | None = Field(None, description="Private key of the certificate, PEM.")

    @model_validator(mode="after")
    def _tls_needs_both(self) -> HttpSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together: give both or neither")
        return self


class GrpcSettings(Settings):
    """The gRPC listener and its limits. Owner: the platform."""

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104 - a server
    port: int = Field(8001, ge=0, le=65535, description="Port; 0: any free one.")
    max_message_bytes: int = Field(
        2**31 - 1, ge=1024, le=2**31 - 1, description="Largest message in either direction."
    )
    max_concurrent_rpcs: int = Field(
        4096,
        ge=1,
        le=2**30,
        description="Inference calls and streams under way at once; more are refused."
        " Probes are not counted.",
    )
    max_inflight_bytes: int = Field(
        2048 * MIB,
        ge=1024,
        description="Bytes of messages held at once over all gRPC calls; beyond it UNAVAILABLE.",
    )
    message_timeout_s: float = Field(
        60.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="From the begin of a call to the end of its message.",
    )
    write_timeout_s: float = Field(
        60.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="Longest wait for a stream that does not read its answers.",
    )
    tls_cert: Path | None = Field(None, description="Certificate chain, PEM; with it, TLS.")
    tls_key: Path | None = Field(None, description="Private key of the certificate, PEM.")


class AdminSettings(Settings):
    """The listener for metrics and operations; on loopback unless told otherwise."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8002, ge=0, le=65535, description="Port; 0: any free one.")
    keys_file: Path | None = Field(
        None,
        description="YAML file of keys, `name: sha256:…`, as `penstock admin-key` prints; with it"
        " every operation needs one, and without it changes are taken on loopback only.",
    )


class ServerSettings(Settings):
    """The process as a whole. Owner: whoever runs it."""

    name: str = Field("penstock", description="Name in the server metadata.")
    http: HttpSettings | None = Field(default_factory=HttpSettings, description="None: no HTTP.")
    grpc: GrpcSettings | None = Field(default_factory=GrpcSettings, description="None: no gRPC.")
    admin: AdminSettings | None = Field(
        default_factory=AdminSettings, description="None: no admin port."
    )
    strict: bool = Field(False, description="Exit if any model of the repository fails to load.")
    triton_compat: bool = Field(
        False, description="Triton's status where ours differs (413 and 504 become 400 and 503)."
    )
    drain_timeout_s: float = Field(
        30.0,
        ge=0,
        le=MAX_TIMEOUT_S,
        description="Longest wait for accepted requests after SIGTERM.",
    )
    load_timeout_s: float = Field(
        600.0,
        gt=0,
        le=MAX_TIMEOUT_S,
        description="Longest load of a model version; after it the version is UNAVAILABLE.",
    )
    model_control_mode: Literal["none", "poll", "explicit"] = Field(
        "none",
        description="none: what is there at the start; poll: follow the repository; explicit: load"
        " and unload what clients ask for.",
    )
    repository_poll_secs: float = Field(
        15.0, gt=0, le=MAX_TIMEOUT_S, description="Time between two looks, with poll."
    )
    load_model: tuple[str, ...] = Field(
        (), description="A model to load at the start, with explicit; may be repeated; *: all."
    )
    repository_cache: Path | None = Field(
        None,
        description="Folder for the copies of repositories in object stores; default:"
        " penstock/repositories in the user's cache.",
    )
    tracking_uri: str | None = Field(
        None,
        description="MLflow's registry, as http://mlflow:5000: with poll, models follow their"
        " `source` there.",
    )
    registry_poll_secs: float = Field(
        30.0, gt=0, le=MAX_TIMEOUT_S, description="Time between two questions to the registry."
    )
    state: Path | None = Field(
        None,
        description="SQLite file that keeps labels and traffic rules which were set while serving,"
        " rollouts and the audit log. Default: .penstock/state.sqlite3 in the repository.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is logged."
    )
    log_format: Literal["text", "json"] = Field("text", description="One line an event, or JSON.")
    access_log: bool = Field(False, description="Log every inference request.")
    cache_bytes: int = Field(
        64 * MIB,
        ge=4096,
        description="Most memory for the answers of one model with a response cache, in each"
        " process; cache.max_bytes of the model wins.",
    )
    cache_redis: str | None = Field(
        None,
        description="URL of a Redis for the answers of models with cache.shared, as"
        " redis://:password@host:6379/0, rediss:// for TLS, or unix://path.",
    )
    cache_redis_timeout_s: float = Field(
        0.02,
        gt=0,
        le=10,
        description="Longest wait for Redis; after it a request goes on without.",
    )

    @model_validator(mode="after")
    def _explicit_loads(self) -> ServerSettings:
        if self.load_model and self.model_control_mode != "explicit":
            raise ValueError(
                "--load-model goes with --model-control-mode explicit, and only with it"
            )
        return self
