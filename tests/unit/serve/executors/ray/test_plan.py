"""A plan reaches gateways as JSON, with all that settings may hold."""

from __future__ import annotations

import json
import math

from serve.config import ModelConfig
from serve.executors.ray.plan import (
    LONGEST_MANIFEST,
    Plan,
    Served,
    as_json,
    from_json,
    manifest_text,
    settings_text,
)
from serve.repository.manifest import Manifest


def test_plan_survives_json() -> None:
    config = ModelConfig.model_validate(
        {
            "inputs": {"x": {"default": math.nan}, "y": {"range": [None, 3]}},
            "versions": {"policy": "specific", "numbers": [2]},
            "autoscaling": {"min_replicas": 2, "max_replicas": 4},
        }
    )
    plan = Plan((Served("m", 2, "READY", "", "app", settings_text(config)),), complete=True)
    again = from_json(json.loads(json.dumps(as_json(plan))))
    assert again == plan
    found = again.versions[0].config
    assert found.autoscaling == config.autoscaling
    assert found.versions == config.versions
    default = found.inputs["x"].default
    assert isinstance(default, float)
    assert math.isnan(default)


def a_manifest(**fields: object) -> Manifest:
    return Manifest.model_validate(
        {
            "schema_version": 1,
            "name": "m",
            "version": 2,
            "created": "2024-01-01T00:00:00+00:00",
            "signature": {"inputs": [], "outputs": []},
            "files": [{"path": "model.onnx", "sha256": "0" * 64, "bytes": 5}],
            **fields,
        }
    )


def test_manifest_goes_with_a_version() -> None:
    manifest = a_manifest(metrics={"auc": 0.9, "loss": "inf"})
    plan = Plan(
        (Served("m", 2, "READY", manifest=manifest_text(manifest)), Served("m", 3, "READY"))
    )
    with_it, without = from_json(json.loads(json.dumps(as_json(plan)))).versions
    assert with_it.read_manifest() == manifest
    assert without.read_manifest() is None
    assert manifest_text(None) == ""


def test_manifest_that_is_too_long_stays_where_it_is() -> None:
    assert manifest_text(a_manifest(report="x" * LONGEST_MANIFEST)) == ""
