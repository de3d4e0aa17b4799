"""The keys of the admin port: a file of names and digests, and who a key belongs to."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from serve.errors import RepositoryError
from serve.repository.yaml_text import load_yaml

__all__ = ["KeyRing", "NewKey", "add_key", "check_name", "make_key", "read_keys"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
SECRET = re.compile(r"[\x21-\x7e]{16,512}")
OURSELVES = "penstock"
"""Who does in the audit log what nobody has asked for."""
PREFIX = "penstock_"
SECRET_BYTES = 32
MAX_FILE_BYTES = 1024 * 1024


class NewKey(NamedTuple):
    """``line`` is for the file, ``secret`` for the caller, and kept nowhere."""

    line: str
    secret: str


class KeyRing:
    """Keys by name; of a secret it keeps the digest only."""

    def __init__(self, digests: Mapping[str, bytes]) -> None:
        """``digests``: SHA-256 of each secret, by the key's name."""
        self._digests = dict(digests)

    def name_of(self, secret: bytes) -> str:
        """Whose key it is, "" if nobody's; takes as long for every secret of that length."""
        digest = hashlib.sha256(secret).digest()
        found = ""
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def make_key(name: str) -> NewKey:
    """A new key of 256 random bits.

    Raises:
        ValueError: ``name`` is none that a key may have.
    """
    check_name(name)
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return NewKey(f"{name}: sha256:{hashlib.sha256(secret.encode()).hexdigest()}", secret)


def add_key(path: Path, key: NewKey) -> None:
    """Put the line of a key at the end of a file, which is made if it is not there; blocks.

    Raises:
        RepositoryError: the file is not as it should be, or would not be.
    """
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if before:
            read_keys(path)
        if before and not before.endswith("\n"):
            before += "\n"
        # Beside it, then in its place: nobody ever reads half of it, or a file others can read.
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{before}{key.line}\n")
        try:
            read_keys(beside)
            beside.replace(path)
        except BaseException:
            beside.unlink()
            raise
    except OSError as error:
        raise _wrong(path, f"cannot be written: {error.strerror}") from None


def check_name(name: Any) -> None:
    """Raises ValueError, with the remedy, for what is no name of a key."""
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r:.80} is no name of a key: a letter or a digit first, then at most 63 letters,"
            " digits, dots, dashes and underscores"
        )
    if name == OURSELVES:
        raise ValueError(f"{OURSELVES!r} is the server itself in the audit log: choose another")


def read_keys(path: Path) -> KeyRing:
    """The keys of a file ``name: sha256:HEX`` or ``name: SECRET``; blocks for a moment.

    Raises:
        RepositoryError: it cannot be read, others can, or it is not as it should be.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise _wrong(path, f"is no file of {MAX_FILE_BYTES} bytes at most")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _wrong(path, f"cannot be read: {reason}") from None
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise RepositoryError(
            path=str(path),
            problem=f"has mode {stat.S_IMODE(status.st_mode):04o}: others could read or write it",
            remedy=f"`chmod 600 {path}`, or defaultMode: 0400 for a secret of Kubernetes",
        )
    try:
        found = load_yaml(text)
    except yaml.YAMLError as error:
        # Without the text around the fault: it may be a secret.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        raise _wrong(path, f"is no YAML{where}") from None
    if not isinstance(found, dict) or not found:
        raise _wrong(path, "has no keys")
    return KeyRing(_digests(path, found))


def _digests(path: Path, found: Mapping[Any, Any]) -> dict[str, bytes]:
    digests: dict[str, bytes] = {}
    for name, value in found.items():
        try:
            check_name(name)
        except ValueError as error:
            raise _wrong(path, str(error)) from None
        if not isinstance(value, str):
            raise _wrong(path, "should be text, in quotes if YAML would not take it for it", name)
        if (digest := DIGEST.fullmatch(value)) is not None:
            digests[name] = bytes.fromhex(digest[1])
        elif value.startswith("sha256:"):
            raise _wrong(path, "sha256: should be followed by 64 digits from 0 to f", name)
        elif SECRET.fullmatch(value) is None:
            raise _wrong(path, "a secret has 16 to 512 ASCII characters and no space", name)
        else:
            digests[name] = hashlib.sha256(value.encode()).digest()
    if len(set(digests.values())) != len(digests):
        raise _wrong(path, "two names have the same key: nobody could tell them apart")
    return digests


def _wrong(path: Path, problem: str, field: str = "") -> RepositoryError:
    return RepositoryError(
        path=str(path),
        field=field,
        problem=problem,
        remedy="a line is `name: sha256:…`; `penstock admin-key NAME` makes one",
    )
