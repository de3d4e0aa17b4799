"""Settings, as frozen groups: those of a model (``model.yaml``) and those of the server (flags)."""

from serve.config.model import (
    Autoscaling,
    Batching,
    Cache,
    InputConfig,
    ModelConfig,
    OutputConfig,
    Resources,
    Slo,
    Tokenizer,
    Versions,
    Warmup,
)
from serve.config.server import AdminSettings, GrpcSettings, HttpSettings, ServerSettings

__all__ = [
    "AdminSettings",
    "Autoscaling",
    "Batching",
    "Cache",
    "GrpcSettings",
    "HttpSettings",
    "InputConfig",
    "ModelConfig",
    "OutputConfig",
    "Resources",
    "ServerSettings",
    "Slo",
    "Tokenizer",
    "Versions",
    "Warmup",
]
