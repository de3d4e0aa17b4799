import subprocess
import sys

import pytest

from models import build

WRITES_A_VERSION = """
from pathlib import Path
version = Path(__file__).parent / "1"
version.mkdir(exist_ok=True)
(version / "model.onnx").write_text("built")
"""


@pytest.fixture
def models(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(WRITES_A_VERSION)
    (tmp_path / "served-only").mkdir()
    return tmp_path


def artefact(models, name, version="1"):
    return models / name / version / "model.onnx"


def test_build_makes_what_is_missing(models):
    assert build.main([], models) == 0
    assert artefact(models, "a").read_text() == "built"
    assert artefact(models, "b").read_text() == "built"


@pytest.mark.parametrize("version", ["1", "7"])
def test_build_leaves_a_model_alone_when_it_has_a_version(models, version):
    artefact(models, "a", version).parent.mkdir()
    artefact(models, "a", version).write_text("mine")
    assert build.main([], models) == 0
    assert artefact(models, "a", version).read_text() == "mine"
    assert len(list((models / "a").iterdir())) == 2
    assert artefact(models, "b").exists()


def test_build_makes_a_version_when_its_folder_is_empty(models):
    (models / "a" / "1").mkdir()
    assert build.main(["a"], models) == 0
    assert artefact(models, "a").exists()


def test_build_is_silent_when_nothing_is_missing(models, capfd):
    build.main([], models)
    capfd.readouterr()
    assert build.main([], models) == 0
    assert capfd.readouterr() == ("", "")


def test_build_makes_a_version_again_when_forced(models):
    artefact(models, "a").parent.mkdir()
    artefact(models, "a").write_text("old")
    assert build.main(["--force", "a"], models) == 0
    assert artefact(models, "a").read_text() == "built"
    assert not artefact(models, "b").exists()


def test_build_makes_only_the_models_named(models):
    assert build.main(["b"], models) == 0
    assert not artefact(models, "a").exists()


def test_build_refuses_a_name_when_there_is_no_such_model(models, capsys):
    with pytest.raises(SystemExit):
        build.main(["c"], models)
    assert "no model named c; there are a, b" in capsys.readouterr().err


def test_build_goes_on_when_a_script_fails(models, capfd):
    (models / "a" / "train.py").write_text("raise SystemExit(3)")
    assert build.main([], models) == 1
    assert "could not build a;" in capfd.readouterr().err
    assert artefact(models, "b").exists()


def test_build_names_the_extras_when_a_library_is_missing(models, capsys, monkeypatch):
    monkeypatch.setattr(build, "NEEDED", ("json", "no_such_library"))
    assert build.main([], models) == 1
    assert "no_such_library: install the extras" in capsys.readouterr().err


def test_build_needs_no_library_when_nothing_is_missing(models, monkeypatch):
    build.main([], models)
    monkeypatch.setattr(build, "NEEDED", ("no_such_library",))
    assert build.main([], models) == 0


def test_build_finds_the_models_that_come_with_the_repository(models_folder):
    assert {"digits", "fraud"} <= set(build.buildable(models_folder))


def test_importing_build_loads_nothing_heavy(models_folder):
    program = (
        "import sys; import models.build as b; "
        "print({'sklearn', 'numpy', 'onnx', 'pandas', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=models_folder.parent,
        check=True,
    )
    assert done.stdout.strip() == "set()"
