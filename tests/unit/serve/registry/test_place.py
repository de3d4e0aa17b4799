from __future__ import annotations

from pathlib import Path

import pytest

import serve.registry.place
from serve.errors import RepositoryError
from serve.registry.place import open_remote
from tests.unit.serve.registry.conftest import MemoryStore


class Away:
    """A store that does not answer."""

    url = ""

    def list(self) -> None:
        raise RepositoryError(path=self.url, problem="does not answer", remedy="try again")


def test_copy_is_up_to_date_when_it_is_opened_and_renewed(
    memory: MemoryStore, tmp_path: Path
) -> None:
    memory.put({"m/1/model.onnx": "one"})
    place = open_remote(memory.url, tmp_path)
    assert (place.root / "m/1/model.onnx").read_text() == "one"
    memory.put({"m/2/model.onnx": "two"})
    place.renew()
    assert (place.root / "m/2/model.onnx").read_text() == "two"


def test_two_stores_have_two_folders(tmp_path: Path) -> None:
    roots = set()
    for _ in range(2):
        memory = MemoryStore()
        memory.put({"m/1/model.onnx": "one"})
        roots.add(open_remote(memory.url, tmp_path).root)
    assert len(roots) == 2
    assert all(root.parent == tmp_path for root in roots)


def test_store_that_is_away_is_served_from_a_warm_copy_alone(
    memory: MemoryStore,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory.put({"m/1/model.onnx": "one"})
    root = open_remote(memory.url, tmp_path).root
    away = Away()
    away.url = memory.url
    monkeypatch.setattr(serve.registry.place, "open_store", lambda _: away)
    place = open_remote(memory.url, tmp_path)
    assert place.root == root
    assert "what was fetched before is served" in caplog.text
    with pytest.raises(RepositoryError, match="does not answer"):
        place.renew()
    with pytest.raises(RepositoryError, match="does not answer"):
        open_remote(memory.url, tmp_path / "cold")
