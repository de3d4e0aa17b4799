"""What the runtime's builder is asked for, with the runtime itself replaced: there is no GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from optimize.errors import OptimizeError
from optimize.steps import tensorrt
from optimize.steps.base import MODEL, Context
from optimize.steps.tensorrt import TensorRt
from serve.backends.tensorrt import COMPILED, CONTEXT, TARGET, TENSORRT, Machine, Target
from tests.support import onnx_models

HERE = Machine("NVIDIA L4", "8.9", "580.95", "101601", "1.31.1")


class Options:
    """Stands for onnxruntime.SessionOptions, and can be looked at."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.log_severity_level = 0

    def add_session_config_entry(self, name: str, value: str) -> None:
        self.entries[name] = value


class Builder:
    """Stands for a session that builds an engine: writes the context, as the provider would."""

    made: list[tuple[dict[str, str], dict[str, tuple[int, ...]]]]
    works = True

    def __init__(self, path: str, options: Options, providers: Any) -> None:
        (name, given), _ = providers
        assert name == TENSORRT
        self._given = given
        self._context = Path(options.entries["ep.context_file_path"])
        assert options.entries["ep.context_enable"] == "1"

    def run(self, names: None, feed: dict[str, Any]) -> None:
        self.made.append((self._given, {name: array.shape for name, array in feed.items()}))
        if self.works:
            self._context.write_bytes(b"context")

    def get_providers(self) -> list[str]:
        return [TENSORRT if self.works else "CUDAExecutionProvider"]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> type[Builder]:
    monkeypatch.setattr(onnxruntime, "InferenceSession", Builder)
    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr(tensorrt, "this_machine", lambda index, version: HERE)
    monkeypatch.setattr(Builder, "made", [], raising=False)
    return Builder


def run(folder: Path, *batch_sizes: int) -> Path:
    source = onnx_models.mlp(folder / "before" / MODEL)
    (folder / "after").mkdir()
    context = Context({"x": np.ones((3, 30), np.float32)}, batch_sizes=batch_sizes)
    TensorRt().run(source, folder / "after" / MODEL, context)
    return folder / "after"


def test_step_builds_an_engine_for_each_batch_size_and_keeps_the_graph(
    tmp_path: Path, builder: type[Builder]
) -> None:
    made = run(tmp_path, 1, 8)
    assert (made / MODEL).read_bytes() == (tmp_path / "before" / MODEL).read_bytes()
    (folder,) = (made / COMPILED).iterdir()
    assert folder.name.startswith("nvidia-l4-sm89-")
    target = Target.model_validate_json((folder / TARGET).read_text())
    assert [each.rows for each in target.classes] == [1, 8]
    assert all((folder / each.folder / CONTEXT).is_file() for each in target.classes)
    assert [shapes for _, shapes in builder.made] == [{"x": (1, 30)}, {"x": (8, 30)}]
    assert builder.made[1][0]["trt_profile_max_shapes"] == "x:8x30"
    assert len({options["trt_timing_cache_path"] for options, _ in builder.made}) == 1


def test_step_fails_where_no_engine_came_out(
    tmp_path: Path, builder: type[Builder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "works", False)
    with pytest.raises(OptimizeError, match="made no engine for 1 rows"):
        run(tmp_path, 1)


@pytest.mark.parametrize(
    ("providers", "present", "machine", "reason"),
    [
        (["CPUExecutionProvider"], True, HERE, "has no TensorRT provider"),
        ([TENSORRT], False, HERE, "no NVIDIA GPU"),
        ([TENSORRT], True, "TensorRT is not installed", "TensorRT is not installed"),
        ([TENSORRT], True, HERE, ""),
    ],
)
def test_step_says_what_is_absent(
    monkeypatch: pytest.MonkeyPatch,
    providers: list[str],
    present: bool,
    machine: Machine | str,
    reason: str,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(tensorrt, "nvidia_device_present", lambda: present)
    monkeypatch.setattr(tensorrt, "this_machine", lambda index, version: machine)
    found = TensorRt().unavailable()
    assert reason in found
    assert bool(reason) == bool(found)


def test_result_is_of_the_machine_and_its_libraries(builder: type[Builder]) -> None:
    assert "101601" in TensorRt().target_key()
