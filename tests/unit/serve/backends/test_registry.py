from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serve.backends.registry import backend_for_artefact, create_backend
from serve.errors import RepositoryError


@pytest.mark.parametrize(
    ("name", "platform"), [("onnxruntime", "onnxruntime_onnx"), ("python", "python")]
)
def test_create_backend_gives_the_named_one(name: str, platform: str) -> None:
    assert create_backend(name).platform() == platform


def test_create_backend_lists_the_known_when_unknown() -> None:
    with pytest.raises(RepositoryError, match=r"'tensorflow'.*onnxruntime, python, torch"):
        create_backend("tensorflow")


@pytest.mark.parametrize(
    ("file", "backend"), [("model.onnx", "onnxruntime"), ("model.py", "python")]
)
def test_backend_for_artefact_goes_by_the_name(file: str, backend: str) -> None:
    assert backend_for_artefact(Path("fraud/1") / file) == backend


def test_backend_for_artefact_refuses_other_files() -> None:
    with pytest.raises(RepositoryError, match=r"model\.plan.*model\.onnx, model\.pt2, model\.py"):
        backend_for_artefact(Path("fraud/1/model.plan"))


def test_create_backend_names_the_extra_when_the_runtime_is_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "serve.backends.ort", raising=False)
    with pytest.raises(RepositoryError, match=r"penstock\[cpu\]"):
        create_backend("onnxruntime")


def test_backends_import_no_runtime_before_it_is_asked_for() -> None:
    modules = (
        "arena, input_values, load_errors, model_module, onnx_types, output_cast, output_check,"
        " providers, pt2_file, pt2_inputs, python_model, registry, session_run, signature,"
        " thread_trial, threads, warmup"
    )
    code = (
        f"import sys; from serve.backends import {modules}\n"
        "assert not {'onnxruntime', 'torch'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
