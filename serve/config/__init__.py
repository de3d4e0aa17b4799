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
from serve.config.traffic import Guards, Shadow, Sticky, Traffic

__all__ = [
    "AdminSettings",
    "Autoscaling",
    "Batching",
    "Cache",
    "GrpcSettings",
    "Guards",
    "HttpSettings",
    "InputConfig",
    "ModelConfig",
    "OutputConfig",
    "Resources",
    "ServerSettings",
    "Shadow",
    "Slo",
    "Sticky",
    "Tokenizer",
    "Traffic",
    "Versions",
    "Warmup",
]
