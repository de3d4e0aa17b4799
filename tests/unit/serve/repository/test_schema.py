from __future__ import annotations

import json
from typing import Any

from serve.config import ModelConfig
from serve.repository.schema import model_schema


def test_model_schema_is_json_with_a_head() -> None:
    schema = json.loads(json.dumps(model_schema(), allow_nan=False))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["title"] == "Penstock model.yaml"
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(ModelConfig.model_fields)


def defined(schema: dict[str, Any], field: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})


def test_model_schema_describes_every_field() -> None:
    schema = model_schema()
    groups = {"model.yaml": schema, **schema["$defs"]}
    bare = [
        f"{group}.{name}"
        for group, body in groups.items()
        for name, field in body["properties"].items()
        # A group is described where it is defined.
        if not (field.get("description") or defined(schema, field).get("description"))
    ]
    assert bare == []


def test_model_schema_has_no_required_field() -> None:
    assert "required" not in model_schema()
