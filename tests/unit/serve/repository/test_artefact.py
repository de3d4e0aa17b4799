from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.repository.artefact import find_artefact


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("")


@pytest.mark.parametrize(
    ("files", "backend", "file_name", "expected"),
    [
        (["model.onnx"], None, "", ("model.onnx", "onnxruntime")),
        (["model.py"], None, "", ("model.py", "python")),
        (["model.pt2"], None, "", ("model.pt2", "torch")),
        (["m.pt2"], None, "m.pt2", ("m.pt2", "torch")),
        (["model.onnx", "model.py"], "python", "", ("model.py", "python")),
        (["m.onnx"], None, "m.onnx", ("m.onnx", "onnxruntime")),
        (["weights.bin"], "onnxruntime", "weights.bin", ("weights.bin", "onnxruntime")),
        (["model.onnx", "model.plan"], None, "", ("model.onnx", "onnxruntime")),
    ],
)
def test_find_artefact_takes_the_file_meant(
    tmp_path: Path,
    files: list[str],
    backend: str | None,
    file_name: str,
    expected: tuple[str, str],
) -> None:
    touch(tmp_path, *files)
    path, kind = find_artefact(tmp_path, backend, file_name)
    assert (path.name, kind) == expected


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([], "is empty, but no model.onnx, model.py or model.pt2"),
        (["model.onxx", ".hidden"], "has 'model.onxx', but no"),
        (["model.pt"], "there is no TorchScript backend"),
        (["model.onnx", "model.py"], "has model.onnx and model.py"),
    ],
)
def test_find_artefact_explains_what_is_wrong(
    tmp_path: Path, files: list[str], problem: str
) -> None:
    touch(tmp_path, *files)
    with pytest.raises(RepositoryError) as caught:
        find_artefact(tmp_path, None)
    assert problem in caught.value.problem


def test_find_artefact_refuses_folder_without_a_model_in_it(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(RepositoryError, match="no file"):
        find_artefact(tmp_path, None)
