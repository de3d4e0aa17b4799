from __future__ import annotations

from pathlib import Path

import pytest

from serve.backends.load_errors import load_error


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation", "kernel"),
        ("CUDA failure 2: out of memory ; GPU=0", "nvidia-smi"),
        ("FAIL : Load model from m failed:system error number 13", "readable by the server"),
        ("something never seen before", "onnx.checker"),
    ],
)
def test_load_error_has_a_remedy_for_each_kind(message: str, says: str) -> None:
    assert says in str(load_error(Path("m/1/model.onnx"), RuntimeError(message)))


def test_load_error_leaves_out_the_runtimes_own_paths_and_names() -> None:
    message = (
        "[ONNXRuntimeError] : 1 : FAIL : Load model from m/1/model.onnx failed:"
        "/onnxruntime_src/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&) Bad"
    )
    error = load_error(Path("m/1/model.onnx"), RuntimeError(message))
    assert error.problem == "the runtime refused it: Bad"


def test_load_error_is_shortened_when_the_message_is_long() -> None:
    assert len(load_error(Path("m"), RuntimeError("x" * 10_000)).problem) < 400
