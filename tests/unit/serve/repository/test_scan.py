from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.repository.scan import scan, scan_model

AddModel = Callable[..., Path]

ONNX = {"1/model.onnx": "bytes"}


def test_scan_reads_model_without_settings(root: Path, add_model: AddModel) -> None:
    folder = add_model("fraud", ONNX)
    entry = scan(root).models["fraud"]
    (version,) = entry.versions
    assert (entry.name, entry.folder, entry.config_file) == ("fraud", folder, None)
    assert (version.number, version.artefact) == (1, folder / "1" / "model.onnx")
    assert version.backend == "onnxruntime"
    assert entry.warnings == ()


def test_scan_reads_python_model(root: Path, add_model: AddModel) -> None:
    add_model("rules", {"1/model.py": ""})
    assert scan(root).models["rules"].versions[0].backend == "python"


def test_scan_reads_settings_from_model_yaml(root: Path, add_model: AddModel) -> None:
    folder = add_model("fraud", {**ONNX, "model.yaml": "owner: risk"})
    entry = scan(root).models["fraud"]
    assert entry.config.owner == "risk"
    assert entry.config_file == folder / "model.yaml"


def test_scan_reads_settings_from_config_pbtxt(root: Path, add_model: AddModel) -> None:
    folder = add_model("fraud", {**ONNX, "config.pbtxt": "max_batch_size: 8"})
    entry = scan(root).models["fraud"]
    assert entry.config.batching.max_batch_size == 8
    assert entry.config_file == folder / "config.pbtxt"


def test_scan_prefers_model_yaml_and_says_so(root: Path, add_model: AddModel) -> None:
    add_model("fraud", {**ONNX, "model.yaml": "owner: risk", "config.pbtxt": "nonsense"})
    entry = scan(root).models["fraud"]
    assert entry.config.owner == "risk"
    assert len(entry.warnings) == 1
    assert "config.pbtxt: not read" in entry.warnings[0]


def test_scan_lists_models_by_name(root: Path, add_model: AddModel) -> None:
    for name in ("b", "c", "a"):
        add_model(name, ONNX)
    assert list(scan(root).models) == ["a", "b", "c"]


def test_scan_passes_over_files_and_leftovers(root: Path, add_model: AddModel) -> None:
    add_model("fraud", ONNX)
    (root / "README.md").write_text("")
    for name in (".git", "__pycache__", ".ipynb_checkpoints"):
        (root / name / "1").mkdir(parents=True)
    repository = scan(root)
    assert (list(repository.models), repository.broken, repository.ignored) == (["fraud"], {}, ())


def test_scan_names_folder_without_any_sign_of_a_model(root: Path, add_model: AddModel) -> None:
    add_model("fraud", ONNX)
    add_model("notes", {"ideas.txt": ""})
    assert scan(root).ignored == ("notes",)


def test_scan_follows_symbolic_link_and_keeps_its_name(
    root: Path, add_model: AddModel, tmp_path: Path
) -> None:
    folder = add_model("fraud", ONNX).rename(tmp_path / "elsewhere")
    (root / "fraud").symlink_to(folder)
    assert scan(root).models["fraud"].name == "fraud"


BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "unknown-field": ({**ONNX, "model.yaml": "batchin: {}"}, "did you mean `batching`?"),
    "bad-yaml": ({**ONNX, "model.yaml": "owner: ["}, "line 1, column"),
    "bad-pbtxt": ({**ONNX, "config.pbtxt": "nmae: 1"}, "line 1, column 1"),
    "wrong-name": ({**ONNX, "config.pbtxt": 'name: "other"'}, "rename the folder"),
    "no-backend": ({**ONNX, "config.pbtxt": 'platform: "tensorrt_plan"'}, "export the model"),
    "never-built": ({"model.yaml": "", "train.py": ""}, "train.py"),
    "only-settings": ({"model.yaml": "backend: python"}, "add a version folder `1/` with model.py"),
    "empty-version": ({"1/notes.txt": ""}, "add model.onnx, model.py or model.pt2"),
    "plan": ({"1/model.plan": ""}, "there is no TensorRT backend"),
    "torch": ({"1/model.pt": ""}, "there is no TorchScript backend"),
    "two-artefacts": ({"1/model.onnx": "", "1/model.py": ""}, "keep one"),
    "loose": ({"model.onnx": ""}, "is not in a version folder"),
    "padded": ({"01/model.onnx": ""}, "without leading zeros"),
    "lettered": ({"v1/model.onnx": ""}, "without leading zeros"),
    "no-such-version": (
        {**ONNX, "model.yaml": "versions: {policy: specific, numbers: [7]}"},
        "there is no version 7",
    ),
    "wrong-backend": ({**ONNX, "model.yaml": "backend: python"}, "add model.py"),
    "nameless-backend": (
        {"1/model.bin": "", "config.pbtxt": 'default_model_filename: "model.bin"'},
        "which backend",
    ),
    "absent-file": (
        {**ONNX, "config.pbtxt": 'default_model_filename: "other.onnx"'},
        "add other.onnx",
    ),
}


def test_scan_serves_the_good_and_explains_each_broken(root: Path, add_model: AddModel) -> None:
    add_model("good-one", ONNX)
    add_model("good-two", {"3/model.py": "", "model.yaml": "owner: risk"})
    for name, (files, _) in BROKEN.items():
        add_model(name, files)
    repository = scan(root)
    assert list(repository.models) == ["good-one", "good-two"]
    assert sorted(repository.broken) == sorted(BROKEN)
    for name, (_, expected) in BROKEN.items():
        error = repository.broken[name].error
        assert expected in str(error), name
        assert error.remedy, name
        assert str(root / name) in error.path, name


UNBUILT = {"model.yaml": "optimize: {source: train.py:fitted}"}


def test_scan_takes_model_that_has_still_to_be_made_for_no_fault(
    root: Path, add_model: AddModel
) -> None:
    add_model("good", ONNX)
    add_model("to-make", UNBUILT)
    add_model("misplaced", {**UNBUILT, "model.onnx": ""})
    repository = scan(root)
    assert list(repository.broken) == ["misplaced"]
    (model,) = repository.unbuilt.values()
    assert model.error.remedy == f"make one with `penstock optimize {root / 'to-make'}`"


def test_scan_says_how_to_make_the_first_model(root: Path, add_model: AddModel) -> None:
    add_model("to-make", UNBUILT)
    with pytest.raises(RepositoryError, match="penstock optimize"):
        scan(root)


def test_scan_reports_links_to_nowhere(root: Path, add_model: AddModel) -> None:
    add_model("good", ONNX)
    (root / "gone").symlink_to(root / "nothing")
    (add_model("hollow", {"1/notes": ""}) / "1" / "model.onnx").symlink_to("nothing")
    broken = scan(root).broken
    assert sorted(broken) == ["gone", "hollow"]
    assert all("link to nowhere" in str(model.error) for model in broken.values())


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_scan_reports_name_that_is_no_text(root: Path, add_model: AddModel) -> None:
    add_model("good", ONNX)
    os.makedirs(os.fsencode(root) + b"/bad\xff/1")
    (model,) = scan(root).broken.values()
    assert model.name.encode().decode() == "bad\N{REPLACEMENT CHARACTER}"
    str(model.error).encode()


@pytest.mark.parametrize("name", ["new\nline", "esc\x1b[31m", "turned\u202eround"])
def test_scan_refuses_name_that_cannot_be_seen(root: Path, add_model: AddModel, name: str) -> None:
    add_model("good", ONNX)
    add_model(name, ONNX)
    repository = scan(root)
    assert list(repository.models) == ["good"]
    ((shown, broken),) = repository.broken.items()
    assert shown.isprintable()
    assert str(broken.error).isprintable()


def test_scan_takes_any_name_that_can_be_seen(root: Path, add_model: AddModel) -> None:
    for name in ("ünï☃", "sp ace", "-dash", "it's"):
        add_model(name, ONNX)
    assert not scan(root).broken


def test_scan_reports_folder_it_may_not_read(
    root: Path, add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model("good", ONNX)
    locked = add_model("locked", ONNX)
    iterdir = Path.iterdir

    def refuse(path: Path) -> object:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)  # a mode would not stop root
    repository = scan(root)
    assert list(repository.models) == ["good"]
    assert "permission denied" in str(repository.broken["locked"].error)


def test_scan_serves_version_beside_a_broken_one(root: Path, add_model: AddModel) -> None:
    add_model("fraud", {**ONNX, "2/model.onnx": "", "3/model.onnx.part": ""})
    entry = scan(root).models["fraud"]
    assert [version.number for version in entry.versions] == [2]
    assert list(entry.broken_versions) == [3]
    assert "model.onnx.part" in str(entry.broken_versions[3])


def test_scan_reports_every_version_when_none_is_fine(root: Path, add_model: AddModel) -> None:
    add_model("fraud", {"1/a": "", "2/b": "", "model.yaml": "versions: {policy: all}"})
    error = scan(root).broken["fraud"].error
    assert str(root / "fraud" / "1") in str(error)
    assert error.path == str(root / "fraud" / "2")


def test_scan_honours_default_model_filename(root: Path, add_model: AddModel) -> None:
    text = 'default_model_filename: "v.onnx"'
    add_model("fraud", {"1/v.onnx": "", "config.pbtxt": text})
    (version,) = scan(root).models["fraud"].versions
    assert (version.artefact.name, version.backend) == ("v.onnx", "onnxruntime")


def test_scan_finds_model_in_folder_of_its_name(root: Path, add_model: AddModel) -> None:
    folder = add_model("big", {"1/model.onnx/model.onnx": "", "1/model.onnx/weights": ""})
    (version,) = scan(root).models["big"].versions
    assert version.artefact == folder / "1" / "model.onnx" / "model.onnx"


def test_scan_warns_of_what_is_probably_not_meant(root: Path, add_model: AddModel) -> None:
    add_model("stats", {**ONNX, "02/model.onnx": "", "model.yml": "owner: risk"})
    warnings = scan(root).models["stats"].warnings
    assert len(warnings) == 3
    assert "model.yml: not read" in warnings[0]
    assert "/v2/models/stats" in warnings[1]
    assert "02: not a version" in warnings[2]


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda root: root.rmdir(), "does not exist"),
        (lambda root: (root.rmdir(), root.write_text("")), "is no folder"),
        (lambda root: None, "has no model in it"),
        (lambda root: (root / "notes").mkdir(), "has no model in it, only 'notes'"),
        (lambda root: (root / "model.yaml").write_text(""), "is one model, not a repository"),
    ],
)
def test_scan_refuses_root_without_models(
    root: Path, make: Callable[[Path], object], problem: str
) -> None:
    make(root)
    with pytest.raises(RepositoryError) as caught:
        scan(root)
    assert problem in caught.value.problem
    assert caught.value.remedy


def test_scan_tells_model_from_repository(root: Path, add_model: AddModel) -> None:
    folder = add_model("fraud", {**ONNX, "2/model.onnx": ""})
    with pytest.raises(RepositoryError, match="is one model, not a repository"):
        scan(folder)


def test_scan_keeps_model_whose_name_is_a_number(root: Path, add_model: AddModel) -> None:
    add_model("7", ONNX)
    assert list(scan(root).models) == ["7"]


def test_scan_model_rereads_one_folder(add_model: AddModel) -> None:
    folder = add_model("fraud", ONNX)
    add_model("fraud", {"2/model.onnx": ""})
    assert [version.number for version in scan_model(folder).versions] == [2]


def test_scan_model_raises_when_nothing_can_be_served(root: Path) -> None:
    with pytest.raises(RepositoryError, match="is no folder"):
        scan_model(root / "gone")


def test_scan_model_knows_its_name_when_told_to_look_here(
    add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(add_model("fraud", {**ONNX, "config.pbtxt": 'name: "fraud"'}))
    assert scan_model(Path()).name == "fraud"
