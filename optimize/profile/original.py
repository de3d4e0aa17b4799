"""The original as it is timed: on rows in its own form, made before the clock runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from optimize.profile.buckets import Bucket, cut
from optimize.rows import Input, Rows
from optimize.source.network import Network
from optimize.source.original import Original
from optimize.source.table import rows_of, table_of

__all__ = ["OriginalCalls"]


class OriginalCalls:
    """Calls of a trained model with rows of its evaluation set."""

    def __init__(self, model: Any, specs: Sequence[Input], features: Any) -> None:
        self._original = Original(model, specs, features)
        self._specs, self._features = specs, features
        self._rows = rows_of(features, specs)
        self._has_table = not isinstance(model, bytes | Network)

    def calls(self, bucket: Bucket, size: int) -> Callable[[], object]:
        """A call with a batch of such rows."""
        few = self._rows.take(bucket.batch(size))
        few = Rows(cut(few.arrays, bucket), cut(few.missing, bucket))
        if not self._has_table:
            return lambda: self._original.answer(few)
        table = table_of(few, self._specs, self._features)
        return lambda: self._original.answer_table(table)
