"""What every group of settings has in common."""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import BaseModel, ConfigDict

__all__ = ["Settings", "path_inside"]


class Settings(BaseModel):
    """Base of every group: frozen, and an unknown field is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def path_inside(value: str, folder: str) -> str:
    """The value, a relative path that cannot leave ``folder``, which is named in the error.

    Raises:
        ValueError: it is empty, absolute, or has ``..`` in it.
    """
    parts = PurePosixPath(value).parts
    if not parts or value.startswith("/") or ".." in parts:
        raise ValueError(f"should be a path inside {folder}")
    return value
