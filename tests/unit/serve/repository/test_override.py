"""What a load request may bring along, and what it may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serve.errors import InvalidRequest, PenstockError, RepositoryError, Unsupported
from serve.repository.override import (
    NO_OVERRIDE,
    Override,
    override_of,
    read_overridden,
    write_files,
)

AddModel = Callable[..., Path]


def test_no_parameters_are_no_override() -> None:
    assert override_of({}) is NO_OVERRIDE


def test_parameters_become_configuration_and_files() -> None:
    parameters = {"config": "{}", "file:1/model.onnx": b"x", "file:labels.txt": b"a"}
    assert override_of(parameters) == Override("{}", {"1/model.onnx": b"x", "labels.txt": b"a"})


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"force": True}, "'force' is unknown"),
        ({"config": 3}, "config: should be"),
        ({"config": ""}, "config: should be"),
        ({"file:1/model.onnx": b"x"}, "config: is needed"),
        ({"config": "{}", "file:1/model.onnx": "text"}, "content of a file"),
        ({"config": "{}", "file:../1/model.onnx": b"x"}, "path inside"),
        ({"config": "{}", "file:/etc/passwd": b"x"}, "path inside"),
        ({"config": "{}", "file:": b"x"}, "path inside"),
        ({"config": "{}", "file:1//model.onnx": b"x"}, "as in 1/model.onnx"),
        ({"config": "{}", "file:1/\0": b"x"}, "as in 1/model.onnx"),
        ({"config": "{}", **{f"file:1/{n}": b"" for n in range(1025)}}, "at most 1024"),
    ],
)
def test_wrong_parameters_are_named(parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        override_of(parameters)


@pytest.mark.parametrize("path", ["1/model.py", "1/model.pt2", "1/lib.so", "1/manifest.json"])
def test_code_and_what_vouches_for_it_is_refused(path: str) -> None:
    with pytest.raises(Unsupported, match="put the model into the repository"):
        override_of({"config": "{}", f"file:{path}": b"x"})


def test_code_under_another_name_is_refused(tmp_path: Path) -> None:
    files = write_files("m", {"1/notes.txt": b"raise SystemExit"})
    config = json.dumps({"backend": "python", "default_model_filename": "notes.txt"})
    with files, pytest.raises(PenstockError):
        read_overridden(Path(files.name, "m"), config, uploaded=True)


def test_python_of_the_repository_takes_a_configuration(add_model: AddModel) -> None:
    folder = add_model("m", {"1/model.py": ""})
    entry = read_overridden(folder, '{"parameters": {"a": {"string_value": "b"}}}', uploaded=False)
    assert entry.config.parameters == {"a": "b"}


def test_files_make_a_model_of_their_own() -> None:
    with write_files("m", {"2/model.onnx": b"x", "2/parts/w": b"y"}) as made:
        entry = read_overridden(Path(made, "m"), "{}", uploaded=True)
        assert [version.number for version in entry.versions] == [2]
        assert Path(made, "m/2/parts/w").read_bytes() == b"y"
    assert not Path(made).exists()


def test_files_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="cannot be laid out"):
        write_files("m", {"1": b"x", "1/model.onnx": b"y"})


def test_configuration_is_tritons(add_model: AddModel) -> None:
    folder = add_model("m", {"1/model.onnx": "", "2/model.onnx": "", "model.yaml": "owner: a"})
    config = {"max_batch_size": 0, "version_policy": {"specific": {"versions": [1]}}}
    entry = read_overridden(folder, json.dumps(config), uploaded=False)
    assert [version.number for version in entry.versions] == [1]
    assert entry.config.owner == ""


def test_configuration_may_be_that_of_model_yaml(add_model: AddModel) -> None:
    folder = add_model("m", {"1/model.onnx": ""})
    entry = read_overridden(folder, '{"slo": {"latency_ms": 5}}', uploaded=False)
    assert entry.config.slo.latency_ms == 5


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "object of fields"),
        ('{"no_such": 1}', "no_such"),
        ('{"max_batch_size": "many"}', "max_batch_size"),
        ('{"backend": "tensorflow"}', "backend: 'tensorflow' is not served here"),
        ('{"name": "other"}', "name: 'other'"),
        ('{"slo": {"latency_ms": -1}}', "slo.latency_ms"),
        ('{"slo": {}, "trust_native_code": true}', "trust_native_code"),
        (" " * 2**21, "longer than"),
    ],
)
def test_wrong_configuration_is_named(add_model: AddModel, config: str, said: str) -> None:
    folder = add_model("m", {"1/model.onnx": ""})
    with pytest.raises(InvalidRequest, match=said):
        read_overridden(folder, config, uploaded=False)


def test_folder_without_a_version_is_the_repositorys_fault(add_model: AddModel) -> None:
    with pytest.raises(RepositoryError, match="has no version"):
        read_overridden(add_model("m", {"model.yaml": ""}), "{}", uploaded=False)
