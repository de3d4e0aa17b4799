from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.errors import RepositoryError
from serve.repository.files import read_text, shown


def test_read_text_drops_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfowner: \xc3\xa9")
    assert read_text(path) == "owner: é"


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"ok\xff", "not UTF-8: byte 0xff at offset 2"), (b"12345", "longer than 4 bytes")],
)
def test_read_text_refuses_what_it_cannot_take(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(RepositoryError, match=problem):
        read_text(path, 4)


def test_read_text_refuses_folder(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="cannot be read: is a directory"):
        read_text(tmp_path)


def test_read_text_does_not_wait_for_a_pipe_or_read_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(RepositoryError, match="no regular file"):
            read_text(path)


def test_shown_quotes_and_shortens() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 10_000)) < 80
