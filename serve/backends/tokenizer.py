"""Text to token ids, with the Rust ``tokenizers`` library; the only module that imports it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from serve.errors import BackendError, RepositoryError
from serve.tensors import Array

__all__ = ["COLUMNS", "IDS", "Encoding", "TextEncoder", "read_tokenizer"]

T = TypeVar("T")

IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
COLUMNS = (IDS, MASK, TYPES)
"""The inputs of a network that a tokenizer fills; the first is needed."""

MAX_FILE_BYTES = 64 * 1024 * 1024
DEFAULT_MAX_LENGTH = 512
CHARACTERS_A_TOKEN = 256
"""A text is cut at so many characters for each token it may have: far more than any language
needs, and what a hostile text may cost is bounded by it."""


Encoding = Any
"""One text as the library gives it: ``ids`` and ``type_ids``."""


class TextEncoder:
    """A ``tokenizer.json``, with its own padding and truncation set aside.

    ``encode`` may be called from any thread; the library gives up the interpreter's lock while it
    works.
    """

    def __init__(self, text: str, max_length: int | None, where: str) -> None:
        """Read the file's ``text``; ``where`` is its name in errors.

        Raises:
            RepositoryError: the library is not installed, or the file is no tokenizer.
        """
        try:
            import tokenizers
        except ImportError as error:
            raise RepositoryError(
                path=where,
                problem=f"needs the tokenizers library, which cannot be imported: {error}",
                remedy="pip install 'penstock[text]'",
            ) from error
        made: Any = _guarded(lambda: tokenizers.Tokenizer.from_str(text), where, "is no tokenizer")
        truncation, padding = made.truncation or {}, made.padding or {}
        self.max_length: int = max_length or truncation.get("max_length") or DEFAULT_MAX_LENGTH
        self._pad_id: int = padding.get("pad_id", _pad_id(made))
        self._pads_left = padding.get("direction", "right").lower() == "left"

        special = made.num_special_tokens_to_add(False)
        if self.max_length <= special:
            raise RepositoryError(
                path=where,
                field="tokenizer.max_length",
                problem=f"is {self.max_length}, and {special} tokens of it are special ones",
                remedy="set tokenizer.max_length to what the model was trained with",
            )

        def limit() -> None:
            made.no_padding()
            made.enable_truncation(
                self.max_length, direction=truncation.get("direction", "right").lower()
            )

        _guarded(limit, where, f"cannot cut texts to {self.max_length} tokens")
        self._encode = made.encode_batch_fast
        self._characters = self.max_length * CHARACTERS_A_TOKEN

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokens of each text, ``max_length`` of them at most, not padded.

        Raises:
            BackendError: the tokenizer failed.
        """
        try:
            found: list[Encoding] = self._encode([text[: self._characters] for text in texts])
            return found
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            # Rust's panics are no Exception, and would end the thread.
            raise BackendError(f"the tokenizer failed: {_said(error)}") from error

    def columns(self, encoded: Sequence[Encoding], names: Iterable[str]) -> dict[str, Array]:
        """Those of ``COLUMNS`` that are asked for, INT64 [texts, tokens of the longest]."""
        ids = [each.ids for each in encoded]
        lengths = np.array([len(row) for row in ids])
        # A text without a token is one of padding, for no graph takes none.
        real = np.arange(max(1, lengths.max())) < lengths[:, None]
        if self._pads_left:
            real = real[:, ::-1]
        columns: dict[str, Array] = {}
        for name in names:
            if name == MASK:
                columns[name] = real.astype(np.int64)
                continue
            rows = ids if name == IDS else [each.type_ids for each in encoded]
            array = np.full(real.shape, self._pad_id if name == IDS else 0, np.int64)
            array[real] = np.concatenate(rows)
            columns[name] = array
        return columns


def read_tokenizer(path: Path) -> str:
    """The contents of a ``tokenizer.json``.

    Raises:
        RepositoryError: it cannot be read, or is no JSON.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RepositoryError(
                path=str(path),
                problem=f"has more than {MAX_FILE_BYTES} bytes",
                remedy="give the tokenizer.json that the `tokenizers` library saved",
            )
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise RepositoryError(
            path=str(path),
            problem=f"cannot be read as JSON: {_said(error)}",
            remedy="give the tokenizer.json that the `tokenizers` library saved",
        ) from error
    return text


def _pad_id(tokenizer: Any) -> int:
    for token in ("[PAD]", "<pad>", "<|padding|>"):
        found: int | None = tokenizer.token_to_id(token)
        if found is not None:
            return found
    return 0


def _guarded(make: Callable[[], T], where: str, problem: str) -> T:
    try:
        return make()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise RepositoryError(
            path=where,
            problem=f"{problem}: {_said(error)}",
            remedy="give the tokenizer.json that the `tokenizers` library saved",
        ) from error


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
