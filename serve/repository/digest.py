"""What a version is made of, as one digest: two servers with the same have the same answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from serve.config import ModelConfig
from serve.repository.manifest import MANIFEST, file_sha256

__all__ = ["digest_of"]


def digest_of(artefact: Path, config: ModelConfig) -> str:
    """SHA-256 of the files that the answers of a version follow from.

    Those are its folder's, of which a manifest says what they hold, and the tokenizer beside it.
    Blocks while they are read.
    """
    folder = artefact.parent
    manifest = folder / MANIFEST
    files = [manifest] if manifest.exists() else _files(folder)
    if config.tokenizer is not None:
        files += [
            path
            for path in (folder.parent / config.tokenizer.file, folder / config.tokenizer.file)
            if path.is_file() and path not in files
        ]
    digest = hashlib.sha256()
    for path in files:
        name = path.relative_to(folder.parent).as_posix()
        digest.update(f"{name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """All files, less what Python and people leave beside them."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(
            part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts
        )
    )
