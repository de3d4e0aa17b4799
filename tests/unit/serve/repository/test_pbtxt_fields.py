from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from serve.repository.pbtxt_fields import HONOURED, REFUSED, refused_fields, unhonoured_fields


def message(text: str) -> object:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("path", sorted(HONOURED | REFUSED.keys()))
def test_table_names_fields_that_exist(path: str) -> None:
    descriptor = model_config_pb2.ModelConfig.DESCRIPTOR
    for name in path.split("."):
        field = descriptor.fields_by_name[name]
        descriptor = field.message_type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("max_batch_size: 8 dynamic_batching {}", []),
        ("response_cache { enable: false }", []),
        ("response_cache { enable: true }", []),
        ("optimization { graph { level: 1 } cuda {} }",
         ["optimization.cuda", "optimization.graph"]),
        ("dynamic_batching { priority_levels: 2 preserve_ordering: true }",
         ["dynamic_batching.preserve_ordering", "dynamic_batching.priority_levels"]),
        ("dynamic_batching { default_queue_policy { timeout_action: DELAY } }",
         ["dynamic_batching.default_queue_policy.timeout_action"]),
        ("dynamic_batching { priority_queue_policy { key: 1 value {} } }",
         ["dynamic_batching.priority_queue_policy"]),
        ("input { name: 'a' format: FORMAT_NCHW optional: true }",
         ["input.format", "input.optional"]),
        ("metric_tags { key: 'a' value: 'b' } cc_model_filenames { key: 'a' value: 'b' }",
         ["cc_model_filenames", "metric_tags"]),
        ("instance_group [ { count: 1 }, { rate_limiter { resources { name: 'r' } } } ]",
         ["instance_group.rate_limiter.resources"]),
        ("model_warmup [ { batch_size: 1 count: 3 inputs { key: 'a' value {} } } ]",
         ["model_warmup.count", "model_warmup.inputs"]),
        ("model_operations { op_library_filename: 'a.so' } runtime: 'r'",
         ["model_operations.op_library_filename", "runtime"]),
    ],
)  # fmt: skip
def test_unhonoured_fields_names_each_that_is_set(text: str, expected: list[str]) -> None:
    assert unhonoured_fields(message(text)) == expected


def sample(field: Any) -> str:
    """Text that sets a field, or the first one inside it."""
    if field.message_type is not None:
        return f"{field.name} {{ {sample(field.message_type.fields[0])} }}"
    values = {field.TYPE_STRING: "'x'", field.TYPE_BOOL: "true"}
    return f"{field.name}: {values.get(field.type, 1)}"


@pytest.mark.parametrize("field", list(model_config_pb2.ModelConfig.DESCRIPTOR.fields))
def test_no_field_is_silently_dropped(field: Any) -> None:
    config = message(sample(field))
    honoured = any(path.split(".")[0] == field.name for path in HONOURED)
    assert honoured or refused_fields(config) or unhonoured_fields(config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sequence_batching {}", ["sequence_batching"]),
        ("ensemble_scheduling {}", ["ensemble_scheduling"]),
        ("model_transaction_policy { decoupled: false }", []),
        ("model_transaction_policy { decoupled: true }", ["model_transaction_policy.decoupled"]),
        ("input { reshape { shape: [] } }", ["input.reshape"]),
        ("output { is_shape_tensor: true }", ["output.is_shape_tensor"]),
        ("input { allow_ragged_batch: true }", ["input.allow_ragged_batch"]),
        ("batch_input {}", ["batch_input"]),
        ("batch_output {}", ["batch_output"]),
    ],
)
def test_refused_fields_names_what_would_change_answers(text: str, expected: list[str]) -> None:
    assert refused_fields(message(text)) == expected
