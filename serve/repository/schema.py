"""The JSON schema of ``model.yaml``, for editors and for ``penstock schema``."""

from __future__ import annotations

from typing import Any

from serve.config import ModelConfig

__all__ = ["model_schema"]


def model_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of all that ``model.yaml`` may hold."""
    schema = ModelConfig.model_json_schema()
    return {
        **schema,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Penstock model.yaml",
        "description": "How a model is served. Every field is optional.",
    }
