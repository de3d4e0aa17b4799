from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.config import ModelConfig
from serve.errors import AlreadyExists, RepositoryError
from serve.repository.model_yaml import read_model_yaml
from serve.repository.scaffold import create
from serve.repository.scan import scan


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "trained.onnx"
    path.write_bytes(b"graph")
    return path


def test_create_makes_model_that_can_be_scanned(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "new" / "models"
    created = create("fraud", source, root)
    assert [str(path.relative_to(root)) for path in created] == [
        "fraud/1/model.onnx",
        "fraud/model.yaml",
        "fraud/README.md",
    ]
    assert created[0].read_bytes() == b"graph"
    entry = scan(root).models["fraud"]
    assert entry.versions[0].artefact == created[0]
    assert entry.warnings == ()


def test_create_writes_the_defaults_with_comments(source: Path, tmp_path: Path) -> None:
    _, settings, card = create("fraud", source, tmp_path / "models")
    assert read_model_yaml(settings) == ModelConfig()
    assert "owner:" in settings.read_text()
    assert card.read_text().startswith("# fraud\n")
    assert "`trained.onnx`" in card.read_text()


def test_create_writes_settings_that_work_when_uncommented(source: Path, tmp_path: Path) -> None:
    _, settings, _ = create("fraud", source, tmp_path / "models")
    text = settings.read_text()
    for line in ("max_batch_size: 128", "latency_ms: 100"):
        assert f"  # {line}\n" in text
        text = text.replace(f"# {line}", line)
    settings.write_text(text)
    config = read_model_yaml(settings)
    assert (config.batching.max_batch_size, config.slo.latency_ms) == (128, 100)


def test_create_takes_python_model(tmp_path: Path) -> None:
    source = tmp_path / "rules.PY"
    source.write_text("")
    artefact, settings, _ = create("rules", source, tmp_path / "models")
    assert artefact.name == "model.py"
    assert read_model_yaml(settings) == ModelConfig()
    head, mark, tensors = settings.read_text().partition("# inputs:\n")
    settings.write_text(head + (mark + tensors).replace("# ", "").replace("#   ", "  "))
    config = read_model_yaml(settings)
    assert (list(config.inputs), list(config.outputs)) == (["x"], ["y"])


def test_create_copies_weights_kept_beside_the_graph(source: Path, tmp_path: Path) -> None:
    source.with_name("trained.onnx.data").write_bytes(b"weights")
    create("fraud", source, tmp_path / "models")
    assert (tmp_path / "models/fraud/1/trained.onnx.data").read_bytes() == b"weights"


def test_create_refuses_to_overwrite(source: Path, tmp_path: Path) -> None:
    (tmp_path / "models" / "fraud").mkdir(parents=True)
    with pytest.raises(AlreadyExists, match="choose another name"):
        create("fraud", source, tmp_path / "models")
    assert list((tmp_path / "models" / "fraud").iterdir()) == []


def test_create_refuses_to_overwrite_what_came_meanwhile(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models" / "fraud"
    rename = os.rename

    def late(built: Path, target: Path) -> None:
        (folder / "1").mkdir(parents=True)
        rename(built, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(AlreadyExists):
        create("fraud", source, tmp_path / "models")
    assert os.listdir(tmp_path / "models") == ["fraud"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "a b", "é", "a\n", "x" * 129, "__pycache__", "a\0", "-\\"],
)
def test_create_refuses_name(name: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot be the name of a model"):
        create(name, source, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("file", "remedy"),
    [("m.pkl", "skl2onnx"), ("m.pt", "torch.onnx.export"), ("m.csv", ".onnx file"), ("m", ".py")],
)
def test_create_refuses_file_type_and_says_what_to_do(
    file: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text("")
    with pytest.raises(RepositoryError) as caught:
        create("fraud", tmp_path / file, tmp_path / "models")
    assert remedy in caught.value.remedy


def test_create_refuses_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="does not exist"):
        create("fraud", tmp_path / "m.onnx", tmp_path / "models")


def test_create_leaves_nothing_behind_when_it_fails(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(RepositoryError, match="no space left"):
        create("fraud", source, tmp_path / "models")
    assert os.listdir(tmp_path / "models") == []
