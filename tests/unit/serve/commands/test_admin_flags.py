"""Where the key comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import serve.commands.admin_client
from serve.commands.admin_flags import Server


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []

    def ask(*asked: Any, key: str) -> None:
        sent.append(key)

    monkeypatch.setattr(serve.commands.admin_client, "ask", ask)
    return sent


def test_key_is_given_or_read_from_its_file(tmp_path: Path, keys: list[str]) -> None:
    file = tmp_path / "key"
    file.write_text("from-the-file\n")
    for server in (Server("h:1"), Server("h:1", "given", file), Server("h:1", "", file)):
        server.ask("/status", dict)
    assert keys == ["", "given", "from-the-file"]


@pytest.mark.parametrize("text", ["two words", "ünicode", "line\nline"])
def test_key_that_no_header_can_carry_is_refused(
    tmp_path: Path, keys: list[str], text: str
) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(ValueError, match="--key-file"):
        Server("h:1", "", tmp_path / "key").ask("/status", dict)
    assert keys == []
