"""Whether texts find what they are about: the metrics of ``penstock optimize models/minilm``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["rank_correlation", "recall_at_1", "recall_at_10"]

Floats = npt.NDArray[np.floating]


def recall_at_1(target: Floats, prediction: Floats) -> Floats:
    """Of each text 1 if its own partner is the nearest, else 0.

    Args:
        target: [texts, 1 + 384]: the number of the pair (``corpus.judged``), and the teacher's
            vector.
        prediction: [texts, 384], vectors of length one.
    """
    return recall_at(1, target, prediction)


def recall_at_10(target: Floats, prediction: Floats) -> Floats:
    """Of each text 1 if its own partner is among the nearest ten, else 0."""
    return recall_at(10, target, prediction)


def rank_correlation(target: Floats, prediction: Floats) -> Floats:
    """Of each text Spearman's rank correlation with the teacher: of its similarities to all others.

    Spearman, The Proof and Measurement of Association between Two Things (1904).
    """
    teacher = target[:, 1:]
    one, other = _ranks(teacher @ teacher.T), _ranks(prediction @ prediction.T)
    scale: Floats = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    found: Floats = (one * other).sum(axis=1) / scale
    return found


def recall_at(nearest: int, target: Floats, prediction: Floats) -> Floats:
    """For queries among all documents, and for documents among all queries."""
    found, pair = np.zeros(len(target)), target[:, 0]
    queries, documents = np.flatnonzero(pair > 0), np.flatnonzero(pair < 0)
    similarity = prediction[queries] @ prediction[documents].T
    own = -pair[documents] == pair[queries][:, None]
    for axis, rows in ((1, queries), (0, documents)):
        to_own = np.where(own, similarity, -np.inf).max(axis=axis, keepdims=True)
        found[rows] = (similarity > to_own).sum(axis=axis) < nearest
    return found


def _ranks(similarity: Floats) -> Floats:
    """Ranks within each row, without the text itself, around their mean."""
    count = len(similarity)
    others = similarity[~np.eye(count, dtype=np.bool_)].reshape(count, count - 1)
    ranks: Floats = others.argsort(axis=1).argsort(axis=1) - (count - 2) / 2
    return ranks
