"""Reading the small text files of a model folder, within bounds."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from serve.errors import RepositoryError

__all__ = ["MAX_CONFIG_BYTES", "read_text", "reason_of", "shown"]

MAX_CONFIG_BYTES = 1024 * 1024
"""Limit of a settings file: far above any real one, and what a parser digests in seconds."""


def reason_of(error: OSError) -> str:
    """What the operating system said, without the path, which the caller names itself."""
    return (error.strerror or type(error).__name__).lower()


def shown(text: str) -> str:
    """Text from a file as it may appear in a message: quoted, on one line, and short."""
    return repr(text) if len(text) <= 64 else f"{text[:64]!r}..."


def read_text(path: Path, max_bytes: int = MAX_CONFIG_BYTES) -> str:
    """The text of a UTF-8 file.

    Raises:
        RepositoryError: it cannot be read, is longer than ``max_bytes`` or is not UTF-8.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            # A pipe or a device would block, or never end.
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(None, "it is no regular file")
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise RepositoryError(
            path=str(path),
            problem=f"cannot be read: {reason_of(error)}",
            remedy="make it a file that the server may read",
        ) from error
    if len(data) > max_bytes:
        raise RepositoryError(
            path=str(path),
            problem=f"longer than {max_bytes} bytes",
            remedy="keep settings and label files small; weights and data go elsewhere",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RepositoryError(
            path=str(path),
            problem=f"not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}",
            remedy="save it as UTF-8",
        ) from error


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is opened too, where `open` would wait."""
    return os.open(path, flags | os.O_NONBLOCK)
