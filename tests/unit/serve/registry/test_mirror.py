from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.registry.mirror import Mirror
from serve.registry.store import Listing
from tests.unit.serve.registry.conftest import CountingStore, MemoryStore

FILES = {"m/model.yaml": "owner: a", "m/1/model.onnx": "one", "m/1/extra/x.bin": "x"}


@pytest.fixture
def store(memory: MemoryStore) -> CountingStore:
    memory.put(FILES)
    return memory.open()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture
def mirror(store: CountingStore, copy: Path) -> Mirror:
    mirror = Mirror(store, copy)
    mirror.sync()
    store.fetched.clear()
    return mirror


def files_in(copy: Path) -> dict[str, str]:
    return {
        str(path.relative_to(copy)): path.read_text()
        for path in copy.rglob("*")
        if path.is_file() and not path.name.startswith(".mirror")
    }


def test_copy_has_the_files_of_the_store(mirror: Mirror, copy: Path) -> None:
    assert files_in(copy) == FILES
    assert mirror.is_warm()


def test_what_did_not_change_is_not_fetched(
    mirror: Mirror, store: CountingStore, memory: MemoryStore
) -> None:
    assert mirror.sync() == 0
    memory.put({"m/2/model.onnx": "two", "m/model.yaml": "owner: b"})
    assert mirror.sync() == 2
    assert sorted(store.fetched) == ["m/2/model.onnx", "m/model.yaml"]


def test_another_process_knows_what_was_fetched(store: CountingStore, copy: Path) -> None:
    Mirror(store, copy).sync()
    assert Mirror(store, copy).sync() == 0


def test_file_that_was_replaced_in_a_version_takes_the_rest_along(
    mirror: Mirror, store: CountingStore, memory: MemoryStore, copy: Path
) -> None:
    kept = (copy / "m/1/extra/x.bin").stat()
    memory.put({"m/1/model.onnx": "another"})
    mirror.sync()
    assert store.fetched == ["m/1/model.onnx"]
    assert (copy / "m/1/model.onnx").read_text() == "another"
    assert (copy / "m/1/extra/x.bin").stat().st_mtime_ns == kept.st_mtime_ns


def test_version_that_went_is_removed_with_what_python_left(
    mirror: Mirror, memory: MemoryStore, copy: Path
) -> None:
    (copy / "m/1/__pycache__").mkdir()
    (copy / "m/1/__pycache__/x.pyc").write_bytes(b"")
    memory.put({"m/2/model.onnx": "two"})
    memory.remove("m/1/model.onnx", "m/1/extra/x.bin")
    mirror.sync()
    assert files_in(copy) == {"m/model.yaml": "owner: a", "m/2/model.onnx": "two"}
    assert not (copy / "m/1").exists()


def test_file_beside_versions_that_went_is_removed(
    mirror: Mirror, memory: MemoryStore, copy: Path
) -> None:
    memory.remove("m/model.yaml")
    mirror.sync()
    assert not (copy / "m/model.yaml").exists()
    assert (copy / "m/1/model.onnx").is_file()


def test_model_that_went_is_removed(mirror: Mirror, memory: MemoryStore, copy: Path) -> None:
    memory.put({"other/1/model.onnx": "x"})
    memory.remove(*FILES)
    mirror.sync()
    assert files_in(copy) == {"other/1/model.onnx": "x"}
    assert not (copy / "m").exists()


def test_version_that_did_not_come_from_the_store_stays(
    mirror: Mirror, memory: MemoryStore, copy: Path
) -> None:
    (copy / "m/7").mkdir()
    (copy / "m/7/model.onnx").write_text("pulled")
    memory.put({"m/2/model.onnx": "two"})
    mirror.sync()
    memory.remove("m/2/model.onnx")
    mirror.sync()
    assert (copy / "m/7/model.onnx").read_text() == "pulled"


def test_version_from_a_registry_is_not_written_over(
    mirror: Mirror, memory: MemoryStore, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copy / "m/7").mkdir()
    (copy / "m/7/manifest.json").write_text(json.dumps({"lineage": {"registry": {}}}))
    memory.put({"m/7/model.onnx": "of the store"})
    mirror.sync()
    assert not (copy / "m/7/model.onnx").exists()
    assert "is there already, and is not from the store" in caplog.text


def test_fetch_that_fails_leaves_the_version_as_it_was_and_stops_no_other(
    mirror: Mirror,
    store: CountingStore,
    memory: MemoryStore,
    copy: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory.put({"m/1/model.onnx": "new one", "n/1/model.onnx": "n"})
    fetch = CountingStore.fetch

    def half(self: CountingStore, targets: dict[str, Path], listing: Listing) -> None:
        fetch(self, targets, listing)
        if "m/1/model.onnx" in targets:
            targets["m/1/model.onnx"].write_text("ne")
            raise RepositoryError(path="s3", problem="the connection broke", remedy="again")

    with monkeypatch.context() as patched:
        patched.setattr(CountingStore, "fetch", half)
        mirror.sync()
        mirror.sync()
    assert files_in(copy) == {**FILES, "n/1/model.onnx": "n"}
    assert caplog.text.count("m/1 stays as it was: s3: the connection broke") == 1
    mirror.sync()
    assert (copy / "m/1/model.onnx").read_text() == "new one"


def manifest_of(contents: str, said: str | None = None) -> str:
    """Of version 2, whose graph has these contents, and is ``said`` to have others."""
    digest = hashlib.sha256((said or contents).encode()).hexdigest()
    tensors = [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    entry = {"path": "model.onnx", "sha256": digest, "bytes": len(contents)}
    return json.dumps(
        {
            "schema_version": 1,
            "name": "m",
            "version": 2,
            "created": "2026-01-01T00:00:00+00:00",
            "signature": {"inputs": tensors, "outputs": tensors},
            "files": [entry],
        }
    )


def test_version_that_is_being_uploaded_is_not_fetched_before_it_is_whole(
    mirror: Mirror,
    store: CountingStore,
    memory: MemoryStore,
    copy: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory.put({"m/2/manifest.json": manifest_of("two"), "m/2/extra.bin": "large"})
    mirror.sync()
    mirror.sync()
    assert store.fetched == ["m/2/manifest.json"]
    assert caplog.text.count("model.onnx is not there, 3 are in the manifest") == 1
    memory.put({"m/2/model.onnx": "two"})
    mirror.sync()
    assert (copy / "m/2/model.onnx").read_text() == "two"
    assert store.fetched.count("m/2/model.onnx") == 1


def test_version_with_wrong_contents_is_fetched_once_and_again_when_it_changes(
    mirror: Mirror,
    store: CountingStore,
    memory: MemoryStore,
    copy: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory.put({"m/2/manifest.json": manifest_of("two", said="TWO"), "m/2/model.onnx": "two"})
    mirror.sync()
    mirror.sync()
    assert not (copy / "m/2").exists()
    assert store.fetched.count("m/2/model.onnx") == 1
    assert caplog.text.count("the contents of model.onnx are not those") == 1
    memory.put({"m/2/model.onnx": "TWO"})
    mirror.sync()
    assert (copy / "m/2/model.onnx").read_text() == "TWO"


def test_what_a_killed_fetch_left_is_never_served_and_is_swept_away(
    mirror: Mirror, memory: MemoryStore, copy: Path
) -> None:
    (copy / "m/.fetch-2").mkdir()
    (copy / "m/.fetch-2/model.onnx").write_text("half")
    memory.put({"m/2/model.onnx": "whole"})
    mirror.sync()
    assert (copy / "m/2/model.onnx").read_text() == "whole"
    assert not (copy / "m/.fetch-2").exists()


def test_file_that_somebody_cut_short_is_fetched_again(mirror: Mirror, copy: Path) -> None:
    (copy / "m/1/model.onnx").write_text("o")
    assert mirror.sync() == 1
    assert files_in(copy) == FILES


def test_store_that_is_empty_empties_nothing(
    mirror: Mirror, memory: MemoryStore, copy: Path
) -> None:
    memory.remove(*FILES)
    with pytest.raises(RepositoryError, match="has no model's folder in it"):
        mirror.sync()
    assert files_in(copy) == FILES


def test_file_and_folder_of_one_name_are_told_and_stop_nothing(
    mirror: Mirror, memory: MemoryStore, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory.put({"m/1/model.onnx/inner": "x", "n/1/model.onnx": "n"})
    mirror.sync()
    assert files_in(copy) == {**FILES, "n/1/model.onnx": "n"}
    assert "m/1 stays as it was" in caplog.text


def test_refused_names_are_logged_once(
    memory: MemoryStore, copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    memory.put({**FILES, "m/../../evil": "x"})
    mirror = Mirror(memory.open(), copy)
    mirror.sync()
    mirror.sync()
    assert files_in(copy) == FILES
    assert caplog.text.count("is no path inside a repository") == 1


def test_copy_of_another_store_is_not_taken_for_this_one(mirror: Mirror, copy: Path) -> None:
    other = MemoryStore()
    other.put({"m/1/model.onnx": "two"})
    assert not Mirror(other.open(), copy).is_warm()


def test_disk_that_cannot_be_written_is_named(store: CountingStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RepositoryError, match="name another folder with --repository-cache"):
        Mirror(store, tmp_path / "file/copy").sync()
