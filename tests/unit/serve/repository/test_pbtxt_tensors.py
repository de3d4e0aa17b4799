"""Inputs and outputs of a config.pbtxt, and the label files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from serve.errors import RepositoryError
from serve.repository.pbtxt_tensors import tensor_settings


def tensors(folder: Path, text: str, *, batched: bool = True) -> dict[str, dict[str, Any]]:
    message = text_format.Parse(text, model_config_pb2.ModelConfig())
    return tensor_settings(folder / "config.pbtxt", "output", message.output, batched)


def test_batch_dimension_is_put_in_front_where_triton_leaves_it_out(tmp_path: Path) -> None:
    text = "output { name: 'y' data_type: TYPE_STRING dims: [2, -1] }"
    expected = {"datatype": "BYTES", "shape": [-1, 2, -1]}
    assert tensors(tmp_path, text) == {"y": expected}
    assert tensors(tmp_path, text, batched=False)["y"]["shape"] == [2, -1]


def test_what_is_left_out_is_left_to_the_artefact(tmp_path: Path) -> None:
    assert tensors(tmp_path, "output { name: 'y' }") == {"y": {"datatype": None, "shape": None}}


def test_labels_are_the_lines_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("æ\r\n\r\nb\n".encode())
    text = "output { name: 'y' label_filename: 'labels.txt' }"
    assert tensors(tmp_path, text)["y"]["labels"] == ["æ", "", "b"]


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", "link.txt", "nowhere.txt", "."])
def test_label_file_has_to_be_a_file_of_the_models_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(RepositoryError) as caught:
        tensors(folder, f"output {{ name: 'y' label_filename: '{name}' }}")
    assert caught.value.field == "output['y'].label_filename"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("output { data_type: TYPE_FP32 }", "output[0].name"),
        ("output { name: 'y' } output { name: 'y' }", "output['y']"),
        ("output { name: 'y' dims: [0] }", "output['y'].dims"),
        ("output { name: 'y' dims: [-2] }", "output['y'].dims"),
    ],
)
def test_what_no_tensor_can_be_is_named(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        tensors(tmp_path, text)
    assert caught.value.field == field
