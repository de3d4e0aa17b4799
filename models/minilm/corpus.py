"""Text that any Python installation carries: what the embedding is judged by, and learns from.

To judge: the first sentence of a function's docstring must find the rest of it, its name and
signature, among those of all other functions. Modules are split between the two uses by their
name, so that nothing of a module that is judged is ever learned from.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Pair", "held_out", "judged", "pairs", "training_pairs", "training_texts"]

SKIPPED = {"test", "tests", "idlelib", "site-packages", "lib2to3", "__pycache__", "turtledemo"}
JUDGED_SHARE = 0.25
"""Of all modules; the others are to learn from."""
JUDGED_PAIRS = 500
FEWEST_WORDS = 4
DOCUMENT_CHARACTERS = 400
SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`'\"(])|\n\s*\n")

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Pair:
    """A function of the standard library: what it does in a sentence, and all else of it."""

    module: str
    query: str
    document: str


@cache
def pairs() -> tuple[Pair, ...]:
    """Every documented function and class, in the order of their modules, each sentence once."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, Pair] = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if SKIPPED.isdisjoint(parts):
            module = ".".join(parts).removesuffix(".__init__")
            for pair in _pairs_of(module, path):
                found.setdefault(pair.query, pair)
    return tuple(found.values())


def held_out(module: str) -> bool:
    """Whether a module is kept to judge by. A package and what is in it are kept together."""
    return _place(module.partition(".")[0]) < JUDGED_SHARE


def training_pairs() -> list[Pair]:
    """The functions of all modules that nothing is judged by."""
    return [pair for pair in pairs() if not held_out(pair.module)]


def training_texts() -> list[str]:
    """Sentences and descriptions to learn from, each once: of the training modules, and of the
    language reference that ``help()`` shows."""
    from pydoc_data.topics import topics

    texts = [text for pair in training_pairs() for text in (pair.query, pair.document)]
    for topic in sorted(topics):
        for piece in SENTENCE.split(topics[topic]):
            text = " ".join(piece.split())
            if len(text.split()) >= FEWEST_WORDS:
                texts.append(text[:DOCUMENT_CHARACTERS])
    return list(dict.fromkeys(texts))


def judged() -> tuple[list[str], Ids]:
    """Texts to judge by, and of each the number of its pair.

    Queries have the numbers 1, 2, ... and their documents -1, -2, ..., in turns.
    """
    chosen = [pair for pair in pairs() if held_out(pair.module)]
    chosen = sorted(chosen, key=lambda pair: _place(pair.query))[:JUDGED_PAIRS]
    texts = [text for pair in chosen for text in (pair.query, pair.document)]
    numbers = np.arange(1, len(chosen) + 1)
    return texts, np.stack([numbers, -numbers], axis=1).ravel()


def _place(text: str) -> float:
    """A number from 0 to 1 that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _pairs_of(module: str, path: Path) -> Iterator[Pair]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    yield from _of_body(module, tree, "")


def _of_body(module: str, parent: ast.AST, prefix: str) -> Iterator[Pair]:
    for node in ast.iter_child_nodes(parent):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        name = f"{prefix}{node.name}"
        text = ast.get_docstring(node)
        if text:
            pair = _pair(module, name, node, inspect.cleandoc(text))
            if pair is not None:
                yield pair
        if isinstance(node, ast.ClassDef):
            yield from _of_body(module, node, f"{name}.")


def _pair(module: str, name: str, node: ast.AST, text: str) -> Pair | None:
    """The pair of a docstring; None if its first sentence is short, a signature, or said again."""
    first, *rest = SENTENCE.split(text, maxsplit=1)
    query = " ".join(first.split())
    if len(query.split()) < FEWEST_WORDS or len(query) > DOCUMENT_CHARACTERS:
        return None
    if "=" in query or "->" in query:
        return None
    arguments = ""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = f"({ast.unparse(node.args)})"
    more = " ".join(" ".join(rest).split())
    if query in more:
        return None
    document = f"{module}.{name}{arguments} {more}".strip()[:DOCUMENT_CHARACTERS]
    return Pair(module, query, document)
