"""A plan reaches gateways as JSON, with all that settings may hold."""

from __future__ import annotations

import json
import math

from serve.config import ModelConfig
from serve.executors.ray.plan import Plan, Served, as_json, from_json, settings_text


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
