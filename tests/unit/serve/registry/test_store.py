from __future__ import annotations

from pathlib import Path

import pytest

import serve.registry.store
from serve.errors import RepositoryError
from serve.registry.store import open_store
from tests.unit.serve.registry.conftest import MemoryStore


def test_listing_has_files_of_models_by_path(memory: MemoryStore) -> None:
    memory.put(
        {
            "m/1/model.onnx": "four",
            "m/.source.json": "{}",
            "README.md": "not of a model",
            "m/.git/x": "",
            "m/1/__pycache__/x.pyc": "",
            ".hidden/1/model.onnx": "",
        }
    )
    listing = memory.open().list()
    assert listing.files.keys() == {"m/1/model.onnx", "m/.source.json"}
    assert listing.files["m/1/model.onnx"].size == 4
    assert listing.refused == ()


@pytest.mark.parametrize(
    "key",
    ["../x/y", "m/../../x", "m/./x", "m//x", "/m/x", "m/a\\b", "m/a\nb", f"m/{'a' * 256}"],
)
def test_names_that_are_no_paths_inside_are_refused(memory: MemoryStore, key: str) -> None:
    memory.put({"m/1/model.onnx": "good", key: "bad"})
    listing = memory.open().list()
    assert list(listing.files) == ["m/1/model.onnx"]
    assert len(listing.refused) == 1


def test_names_with_patterns_are_fetched_as_they_are(memory: MemoryStore, tmp_path: Path) -> None:
    memory.put({"m/[a]*?": "this", "m/b": "other"})
    store = memory.open()
    store.fetch({"m/[a]*?": tmp_path / "got"}, store.list())
    assert (tmp_path / "got").read_text() == "this"


def test_object_that_came_short_is_not_taken(memory: MemoryStore, tmp_path: Path) -> None:
    memory.put({"m/1/model.onnx": "whole"})
    store = memory.open()
    listing = store.list()
    memory.put({"m/1/model.onnx": "half"})
    with pytest.raises(RepositoryError, match=r"came with 4 bytes, of 5 .it is fetched again"):
        store.fetch({"m/1/model.onnx": tmp_path / "got"}, listing)


def test_object_that_was_replaced_meanwhile_is_not_taken(
    memory: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put({"m/1/model.onnx": "whole"})
    store = memory.open()
    listing = store.list()
    info = store._system.info
    monkeypatch.setattr(store._system, "info", lambda path: {**info(path), "ETag": "another"})
    with pytest.raises(RepositoryError, match="changed while it was fetched"):
        store.fetch({"m/1/model.onnx": tmp_path / "got"}, listing)


def test_object_that_went_meanwhile_is_told(memory: MemoryStore, tmp_path: Path) -> None:
    memory.put({"m/1/model.onnx": "x"})
    store = memory.open()
    listing = store.list()
    memory.remove("m/1/model.onnx")
    with pytest.raises(RepositoryError, match="is not there"):
        store.fetch({"m/1/model.onnx": tmp_path / "got"}, listing)


def test_store_of_too_many_objects_is_refused(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.registry.store, "MOST_OBJECTS", 2)
    memory.put({f"m/{number}": "" for number in range(3)})
    with pytest.raises(RepositoryError, match=r"has 3 objects, over 2 \(give a prefix that holds"):
        memory.open().list()


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("gopher://bucket/models", "there are s3://"),
        ("gs://bucket/models", r"pip install 'penstock\[gcs\]'"),
        ("az://bucket/models", r"pip install 'penstock\[azure\]'"),
    ],
)
def test_store_that_cannot_be_opened_names_the_remedy(url: str, remedy: str) -> None:
    pytest.importorskip("fsspec")
    if "penstock" in remedy:
        package = "gcsfs" if url.startswith("gs") else "adlfs"
        try:
            __import__(package)
        except ImportError:
            pass
        else:
            pytest.skip(f"{package} is installed")
    with pytest.raises(RepositoryError, match=remedy):
        open_store(url)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (PermissionError("Access Denied"), "set the credentials of the store"),
        (FileNotFoundError("bucket"), "correct the URL, or make the bucket"),
        (RuntimeError("Could not connect"), "see that it can be reached from here"),
        (ValueError("Unable to locate credentials"), "set the credentials of the store"),
    ],
)
def test_faults_of_clients_are_told_with_a_remedy(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch, error: Exception, remedy: str
) -> None:
    store = memory.open()

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(store._system, "find", fail)
    with pytest.raises(RepositoryError, match=f"^{memory.url}: .*{remedy}"):
        store.list()
