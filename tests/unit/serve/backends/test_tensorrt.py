"""Keys, shapes and the choice of an engine; no engine is built or run here."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serve.backends.tensorrt import (
    COMPILED,
    TARGET,
    TENSORRT,
    BatchClass,
    ByRows,
    Machine,
    Target,
    batch_classes,
    engine_for,
    provider_options,
    this_machine,
)
from serve.tensors import TensorSpec

HERE = Machine("NVIDIA H100 80GB HBM3", "9.0", "580.95", "101601", "1.31.1")
INPUTS = (TensorSpec("ids", "INT64", (-1, -1)), TensorSpec("x", "FP32", (-1, 3, 8)))
CLASSES = batch_classes(INPUTS, (8, 1, 32), {"ids": (64,)})


def test_key_names_the_gpu_and_changes_with_all_that_an_engine_depends_on() -> None:
    key = HERE.key("a" * 64)
    assert key.startswith("nvidia-h100-80gb-hbm3-sm90-")
    others = [replace(HERE, **{field: "other"}).key("a" * 64) for field in asdict(HERE)]
    assert len({key, HERE.key("b" * 64), *others}) == 2 + len(others)
    assert HERE.key("a" * 64) == key


def test_classes_cover_every_batch_up_to_the_largest_without_a_gap() -> None:
    assert [(each.least["x"], each.most["x"]) for each in CLASSES] == [
        ((1, 3, 8), (1, 3, 8)),
        ((2, 3, 8), (8, 3, 8)),
        ((9, 3, 8), (32, 3, 8)),
    ]
    assert [each.folder for each in CLASSES] == ["rows-1", "rows-8", "rows-32"]


def test_lengths_within_a_row_go_from_one_to_the_longest_that_is_served() -> None:
    assert (CLASSES[1].least["ids"], CLASSES[1].most["ids"]) == ((2, 1), (8, 64))


def test_options_have_shapes_and_caches_and_no_precision(tmp_path: Path) -> None:
    options = provider_options(tmp_path, CLASSES[1], 1)
    assert options["trt_profile_min_shapes"] == "ids:2x1,x:2x3x8"
    assert options["trt_profile_max_shapes"] == "ids:8x64,x:8x3x8"
    assert options["trt_engine_cache_path"] == str(tmp_path / "rows-8")
    assert options["device_id"] == "1"
    assert not [name for name in options if "fp16" in name or "int8" in name or "bf16" in name]


def built(version: Path, machine: Machine = HERE, sha256: str = "a" * 64) -> Path:
    folder = version / COMPILED / machine.key(sha256)
    folder.mkdir(parents=True)
    target = Target(model_sha256=sha256, machine=asdict(machine), classes=tuple(CLASSES))
    (folder / TARGET).write_text(target.model_dump_json())
    return folder


def found(version: Path, **changed: Any) -> Any:
    usual = {
        "model_sha256": lambda: "a" * 64,
        "machine": lambda: HERE,
        "providers": [TENSORRT],
        "verified": True,
    }
    return engine_for(version, **{**usual, **changed})


def test_engine_of_this_machine_and_graph_is_found(tmp_path: Path) -> None:
    folder = built(tmp_path)
    got = found(tmp_path)
    assert got[0] == folder
    assert got[1].classes == tuple(CLASSES)


def test_version_that_was_never_compiled_has_no_reason_to_warn(tmp_path: Path) -> None:
    assert found(tmp_path, providers=[]) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"providers": ["CUDAExecutionProvider"]}, "has no TensorRT provider"),
        ({"verified": False}, "no manifest vouches"),
        ({"machine": lambda: "TensorRT is not installed"}, "TensorRT is not installed"),
        ({"machine": lambda: replace(HERE, driver="590")}, r"driver 580\.95 \(here 590\)"),
        ({"model_sha256": lambda: "b" * 64}, "built of another model"),
    ],
)
def test_engine_is_passed_over_with_the_reason(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    built(tmp_path)
    got = found(tmp_path, **changed)
    assert isinstance(got, str)
    assert re.search(reason, got)


def test_description_that_is_broken_is_said(tmp_path: Path) -> None:
    (built(tmp_path) / TARGET).write_text("{")
    assert "cannot be read" in found(tmp_path)


def nvidia_smi(text: str) -> Callable[..., Any]:
    return lambda command, **_: subprocess.CompletedProcess(command, 0, text, "")


class Library:
    def __init__(self, name: str) -> None:
        if name != "libnvinfer.so.10":
            raise OSError(f"{name}: cannot open shared object file")

    def getInferLibVersion(self) -> int:
        return 101601


def test_machine_is_what_the_driver_and_the_libraries_say() -> None:
    text = "NVIDIA H100 80GB HBM3, 9.0, 580.95\n"
    assert this_machine(0, "1.31.1", nvidia_smi(text), Library) == HERE


def absent(*_: Any, **__: Any) -> Any:
    raise FileNotFoundError("nvidia-smi")


def no_library(name: str) -> Any:
    raise OSError(name)


@pytest.mark.parametrize(
    ("ask", "library", "reason"),
    [
        (absent, Library, "nvidia-smi does not tell"),
        (nvidia_smi("No devices were found"), Library, "No devices were found"),
        (nvidia_smi("X, 9.0, 580"), no_library, "TensorRT is not installed"),
    ],
)
def test_machine_says_what_is_absent(ask: Any, library: Any, reason: str) -> None:
    got = this_machine(0, "1.31.1", ask, library)
    assert isinstance(got, str)
    assert reason in got


def runs(*classes: BatchClass) -> ByRows:
    def named(name: str) -> Callable[[Sequence[Any], Any], list[Any]]:
        return lambda arrays, options: [name]

    engines = [(each, named(each.folder)) for each in reversed(classes)]
    return ByRows(engines, [spec.name for spec in INPUTS], named("plain"))


@pytest.mark.parametrize(
    ("rows", "length", "way"),
    [
        (1, 64, "rows-1"),
        (2, 1, "rows-8"),
        (8, 64, "rows-8"),
        (9, 10, "rows-32"),
        (33, 10, "plain"),
        (8, 65, "plain"),
        (0, 10, "plain"),
    ],
)
def test_batch_runs_in_the_engine_whose_shapes_it_is_within(
    rows: int, length: int, way: str
) -> None:
    arrays = [np.zeros((rows, length), np.int64), np.zeros((rows, 3, 8), np.float32)]
    assert runs(*CLASSES)(arrays, None) == [way]
