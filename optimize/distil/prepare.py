"""What stands before a student: columns with gaps and words become one matrix of numbers.

Fitted on the transfer rows, it is both a numpy function, which training uses, and ONNX nodes,
which are served. A number becomes the shares of the intervals between its quantiles that lie below
it (piecewise linear encoding, Gorishniy et al., 2022, "On Embeddings for Numerical Features"), so
that a network sees what trees split on, and nothing that a client sends is outside [0, 1]. A gap
is filled with the median, and marked where the transfer rows have gaps; a word becomes one of the
words seen, or none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimize.errors import OptimizeError
from optimize.rows import Input
from serve.tensors import Array

__all__ = ["Prepare", "fit", "fit_image"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

TAILS = (0.002, 0.005, 0.01, 0.02, 0.98, 0.99, 0.995, 0.998)
"""Quantiles besides the even ones: what is rare is often what matters."""
MOST_WORDS = 64
FEW_BINS = 4


@dataclass(frozen=True)
class Prepare:
    """Constants of the preparation. ``C`` numbers a row, ``P`` pieces, ``S`` columns of words.

    Attributes:
        numbers: names of the inputs of numbers, whose rows end to end have C numbers.
        words: names of the inputs of words, one word a row each.
        fill: [C], what stands for a gap.
        column: [P], of which number a piece is.
        low, slope: [P], where a piece begins and the inverse of its width.
        gaps: the numbers of which a gap is marked.
        vocabulary: every word of any column, in order; the first has the number 1.
        codes: [S * (1 + words), D], what each column makes of a word; its first is of no word.
    """

    numbers: tuple[str, ...]
    words: tuple[str, ...]
    fill: Floats
    column: Ints
    low: Floats
    slope: Floats
    gaps: Ints
    vocabulary: tuple[bytes, ...]
    codes: Floats

    @property
    def width(self) -> int:
        """Numbers in a prepared row."""
        return len(self.column) + len(self.gaps) + int(self.codes.shape[1])

    @property
    def offsets(self) -> Ints:
        """[S], where in ``codes`` each column of words begins."""
        return np.arange(len(self.words), dtype=np.int64) * (len(self.vocabulary) + 1)

    def __call__(self, arrays: Mapping[str, Array]) -> Floats:
        """Decoded inputs by name → [rows, width] FP32."""
        parts: list[Array] = []
        if self.numbers:
            raw = matrix(arrays, self.numbers)
            gap = np.isnan(raw)
            filled = np.where(gap, self.fill, raw)
            with np.errstate(over="ignore", invalid="ignore"):
                pieces = np.clip((filled[:, self.column] - self.low) * self.slope, 0, 1)
            parts += [pieces, gap[:, self.gaps].astype(np.float32)]
        if self.words:
            numbers = {word: index + 1 for index, word in enumerate(self.vocabulary)}
            bits = np.zeros((len(arrays[self.words[0]]), self.codes.shape[1]), np.float32)
            for name, offset in zip(self.words, self.offsets, strict=True):
                known = [numbers.get(word, 0) for word in arrays[name].ravel()]
                bits += self.codes[np.array(known, np.int64) + offset]
            parts.append(bits)
        return np.concatenate(parts, axis=1, dtype=np.float32)


def fit(inputs: Sequence[Input], arrays: Mapping[str, Array], bins: int) -> Prepare:
    """Learn quantiles, medians and words from decoded rows."""
    numbers = tuple(spec.name for spec in inputs if spec.datatype != "BYTES")
    words = tuple(spec.name for spec in inputs if spec.datatype == "BYTES")
    rows = len(next(iter(arrays.values())))
    raw = matrix(arrays, numbers) if numbers else np.zeros((rows, 0), np.float32)
    fill = np.zeros(raw.shape[1], np.float32)
    column: list[int] = []
    low: list[float] = []
    high: list[float] = []
    for index in range(raw.shape[1]):
        seen = raw[np.isfinite(raw[:, index]), index]
        if not len(seen):
            continue
        fill[index] = np.median(seen)
        edges = _edges(seen, bins)
        column += [index] * (len(edges) - 1)
        low += edges[:-1].tolist()
        high += edges[1:].tolist()
    width = np.maximum(np.array(high) - np.array(low), np.finfo(np.float32).tiny)
    vocabulary, codes = _words([arrays[name].ravel() for name in words])
    return Prepare(
        numbers,
        words,
        fill,
        np.array(column, np.int64),
        np.array(low, np.float32),
        (1 / width).astype(np.float32),
        np.flatnonzero(np.isnan(raw).any(axis=0)).astype(np.int64),
        vocabulary,
        codes,
    )


def fit_image(inputs: Sequence[Input], arrays: Mapping[str, Array]) -> Prepare:
    """Learn one range for all numbers, which keeps each in its place: pixels end to end.

    Raises:
        OptimizeError: an input is of words.
    """
    words = [spec.name for spec in inputs if spec.datatype == "BYTES"]
    if words:
        raise OptimizeError(
            step="distil",
            problem=f"input {words[0]!r} is of words, and a cnn looks at images",
            remedy="use student: mlp",
        )
    numbers = tuple(spec.name for spec in inputs)
    raw = matrix(arrays, numbers)
    seen = raw[np.isfinite(raw)]
    low, high = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
    width = raw.shape[1]
    return Prepare(
        numbers,
        (),
        np.full(width, low, np.float32),
        np.arange(width, dtype=np.int64),
        np.full(width, low, np.float32),
        np.full(width, 1 / (high - low) if high > low else 1.0, np.float32),
        np.zeros(0, np.int64),
        (),
        np.zeros((0, 0), np.float32),
    )


def matrix(arrays: Mapping[str, Array], names: Sequence[str]) -> Floats:
    """The rows of the named inputs end to end: [rows, C] FP32."""
    with np.errstate(over="ignore"):
        return np.concatenate(
            [arrays[name].reshape(len(arrays[name]), -1) for name in names],
            axis=1,
            dtype=np.float32,
            casting="unsafe",
        )


def _edges(values: Floats, bins: int) -> Array:
    """Quantiles of the values, ascending, each once."""
    at = np.linspace(0, 1, bins + 1)
    if bins >= FEW_BINS:
        at = np.union1d(at, TAILS)
    return np.unique(np.quantile(values.astype(np.float64), at).astype(np.float32))


def _words(columns: Sequence[Array]) -> tuple[tuple[bytes, ...], Floats]:
    """The vocabulary of all columns, and the code of each word in each column."""
    kept = [
        sorted(word for word, _ in Counter(column.tolist()).most_common(MOST_WORDS))
        for column in columns
    ]
    vocabulary = tuple(sorted({word for words in kept for word in words}))
    place = {word: index + 1 for index, word in enumerate(vocabulary)}
    codes = np.zeros(
        (len(columns) * (len(vocabulary) + 1), sum(len(words) for words in kept)), np.float32
    )
    bit = 0
    for index, words in enumerate(kept):
        for word in words:
            codes[index * (len(vocabulary) + 1) + place[word], bit] = 1
            bit += 1
    return vocabulary, codes
