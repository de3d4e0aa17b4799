from __future__ import annotations

from pathlib import Path

import pytest

import serve.registry.place
from serve.commands.repository import is_remote, place_of
from serve.registry.place import Place


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What would have been opened."""
    calls: list[tuple[str, Path]] = []

    def open_remote(url: str, cache: Path) -> Place:
        calls.append((url, cache))
        return Place(cache / "copy", lambda: None)

    monkeypatch.setattr(serve.registry.place, "open_remote", open_remote)
    return calls


def test_folder_is_served_as_it_is(opened: list[tuple[str, Path]]) -> None:
    root, renew = place_of("models", None)
    renew()
    assert root == Path("models")
    assert opened == []


@pytest.mark.parametrize(
    ("home", "cache"),
    [("/var/cache/me", "/var/cache/me"), ("", "~/.cache"), ("relative", "~/.cache")],
)
def test_copy_is_in_the_users_cache(
    opened: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch, home: str, cache: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    root, _ = place_of("s3://bucket/models", None)
    expected = Path(cache).expanduser() / "penstock/repositories"
    assert opened == [("s3://bucket/models", expected)]
    assert root == expected / "copy"


def test_copy_is_where_it_was_asked_for(opened: list[tuple[str, Path]], tmp_path: Path) -> None:
    place_of("s3://bucket/models", tmp_path)
    assert opened == [("s3://bucket/models", tmp_path)]


@pytest.mark.parametrize(
    ("repo", "remote"),
    [("models", False), ("./s3:/x", False), ("s3://b/x", True), ("memory://x", True)],
)
def test_urls_are_told_from_folders(repo: str, remote: bool) -> None:
    assert is_remote(repo) is remote
