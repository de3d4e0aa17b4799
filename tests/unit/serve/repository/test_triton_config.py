from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from serve.config import ModelConfig
from serve.repository.config_pbtxt import parse_config_pbtxt
from serve.repository.triton_config import render_model_config
from serve.tensors import DATATYPES, Signature, TensorSpec

BATCHED = Signature(
    (TensorSpec("x", "FP32", (-1, 3)), TensorSpec("s", "BYTES", (-1, -1), optional=True)),
    (TensorSpec("y", "INT64", (-1,)),),
    batched=True,
)
FIXED = Signature((TensorSpec("x", "FP32", (2, 3)),), (TensorSpec("y", "FP32", ()),), batched=False)


def render(
    signature: Signature = BATCHED, max_batch_size: int = 8, **settings: Any
) -> dict[str, Any]:
    config = ModelConfig.model_validate(settings)
    return render_model_config(
        "m", config, signature, "onnxruntime_onnx", "onnxruntime", max_batch_size=max_batch_size
    )


def message(rendered: dict[str, Any]) -> Any:
    return json_format.ParseDict(rendered, model_config_pb2.ModelConfig())


def test_render_model_config_leaves_batch_dimension_out() -> None:
    rendered = render()
    assert rendered["max_batch_size"] == 8
    assert [tensor["dims"] for tensor in rendered["input"]] == [[3], [-1]]
    assert rendered["output"][0]["dims"] == []
    assert [tensor["data_type"] for tensor in rendered["input"]] == ["TYPE_FP32", "TYPE_STRING"]
    assert rendered["default_model_filename"] == "model.onnx"


@pytest.mark.parametrize(
    ("signature", "dims"), [(FIXED, [2, 3]), (Signature(BATCHED.inputs, (), True), [-1, 3])]
)
def test_render_model_config_keeps_whole_shape_when_not_batched(
    signature: Signature, dims: list[int]
) -> None:
    rendered = render(signature, 0)
    assert rendered["max_batch_size"] == 0
    assert rendered["input"][0]["dims"] == dims
    assert "dynamic_batching" not in rendered


def test_render_model_config_is_not_batched_when_the_signature_is_not() -> None:
    assert render(FIXED, 8)["max_batch_size"] == 0


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"versions": {"policy": "all"}},
        {"versions": {"policy": "specific", "numbers": [1, 3]}},
        {"resources": {"device": "cuda:3", "instances": 4}},
        {"resources": {"device": "cpu"}},
        {"batching": {"max_queue_delay_ms": 1.5, "preferred_batch_sizes": [4]}},
        {"parameters": {"a": "1"}},
        {"slo": {"timeout_ms": 0.5}},
    ],
)
@pytest.mark.parametrize("signature", [BATCHED, FIXED])
def test_render_model_config_is_tritons_message(
    signature: Signature, settings: dict[str, Any]
) -> None:
    rendered = render(signature, **settings)
    parsed = message(json.loads(json.dumps(rendered)))
    printed = json_format.MessageToDict(parsed, preserving_proto_field_name=True)
    assert printed.keys() <= rendered.keys()
    assert parsed.name == "m"
    assert parsed.WhichOneof("scheduling_choice") == (
        "dynamic_batching" if signature.batched else None
    )


def test_render_model_config_knows_every_datatype() -> None:
    specs = tuple(TensorSpec(name, name, (1,)) for name in DATATYPES)
    parsed = message(render(Signature(specs, (), False), 0))
    assert all(tensor.data_type > 0 for tensor in parsed.input)


def test_render_model_config_can_be_read_again(tmp_path: Path) -> None:
    text = """
        backend: "onnxruntime" platform: "onnxruntime_onnx" max_batch_size: 8
        input { name: "x" data_type: TYPE_FP32 dims: 3 }
        output { name: "y" data_type: TYPE_STRING dims: 1 }
        version_policy { specific { versions: [1, 2] } }
        instance_group { kind: KIND_GPU gpus: 1 count: 2 }
        dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 700
          default_queue_policy { default_timeout_microseconds: 90000 max_queue_size: 5 } }
    """
    path = tmp_path / "config.pbtxt"
    config = parse_config_pbtxt(text, path).config
    signature = Signature(
        (TensorSpec("x", "FP32", (-1, 3)),), (TensorSpec("y", "BYTES", (-1, 1)),), True
    )
    rendered = render_model_config(
        tmp_path.name, config, signature, "onnxruntime_onnx", "onnxruntime", max_batch_size=8
    )
    again = parse_config_pbtxt(text_format.MessageToString(message(rendered)), path)
    assert again.config == config
    assert again.warnings == ()


def test_render_model_config_says_whether_answers_are_kept() -> None:
    assert message(render(cache={"ttl_s": 5})).response_cache.enable
    assert not message(render()).HasField("response_cache")
