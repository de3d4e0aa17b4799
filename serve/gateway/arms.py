"""What is counted of a version whose share of the traffic is watched.

Little is done for a batch, and nothing for a request: numbers are put by, and sorted into bins
once there are many, or somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from serve.clock import Clock
from serve.monitoring.metrics import TrafficMetrics, VersionMetrics
from serve.scheduling.entry import Entry
from serve.tensors import Array, Signature
from serve.traffic.samples import OutcomeSums, Sample, latency_bins, score_bins

__all__ = ["ArmCounter", "score_output"]

MANY = 4096
"""Latencies, or rows, that are put by before they are sorted."""
FLOATS = frozenset(("FP16", "FP32", "FP64", "BF16"))


class ArmCounter:
    """Counts of one version, which go on when it is loaded anew. Belongs to the event loop.

    Of requests, those that were answered, failed or were refused are all that the version ever
    had, copies aside; latencies and scores are of the time in which it was watched.
    """

    def __init__(self, metrics: VersionMetrics, clock: Clock) -> None:
        self._version = metrics
        self._clock = clock
        # what is set by who watches
        self.score_index: int | None = None
        """Which output the scores are in; None: in none."""
        self.note = ""
        """Why it gets no copies, though the rules want it to."""
        # sorted
        self._latencies: Counter[int] = Counter()
        self._scores: Counter[int] = Counter()
        # put by
        self._durations: list[int] = []
        self._outputs: list[Array] = []
        self._rows = 0
        # of a split
        self.stood_in = 0
        self.unkeyed = 0
        # copies that it was given as a shadow, by how they ended in its batcher
        self.copies_answered = 0
        self.copies_failed = 0
        self.copies_refused = 0
        # and what came of them
        self.compared = 0
        self.disagreed = 0
        self.dropped = 0
        self.shadow_failed = 0
        self.distance_sum = 0.0
        self.distance_max = 0.0
        self.shadow_ns = 0.0
        self.primary_ns = 0.0
        self._outcomes = OutcomeSums()

    def observe(
        self, entries: Sequence[Entry], answered: Sequence[Entry], outputs: list[Array]
    ) -> None:
        """See ``Observer``."""
        now_ns = self._clock()
        durations = self._durations
        durations += [now_ns - entry.received_ns for entry in answered]
        if len(durations) >= MANY:
            self._sort_latencies()
        self.observe_scores(outputs)

    def observe_scores(self, outputs: list[Array]) -> None:
        """Count the scores of a batch: of each row the last number of one output."""
        if self.score_index is None:
            return
        scores = outputs[self.score_index]
        rows = len(scores) if scores.ndim else 1
        if not rows or not scores.size:
            return
        # A copy, so that it does not hold on to the whole output.
        self._outputs.append(scores.reshape(rows, -1)[:, -1].astype(np.float64))
        self._rows += rows
        if self._rows >= MANY:
            self._sort_scores()

    def count_outcome(self, outcome: float) -> None:
        """Count what a caller says of a prediction; a finite number."""
        sums = self._outcomes
        self._outcomes = OutcomeSums(
            sums.number + 1, sums.total + outcome, sums.squares + outcome * outcome
        )

    def sample(self) -> Sample:
        """All that has been counted so far."""
        self._sort_latencies()
        self._sort_scores()
        metrics = self._version
        return Sample(
            answered=metrics.successes - self.copies_answered,
            failed=metrics.failures - self.copies_failed,
            refused=sum(metrics.refusals.values()) - self.copies_refused,
            stood_in=self.stood_in,
            unkeyed=self.unkeyed,
            latencies=dict(self._latencies),
            scores=dict(self._scores),
            compared=self.compared,
            disagreed=self.disagreed,
            dropped=self.dropped,
            shadow_failed=self.shadow_failed,
            distance_sum=self.distance_sum,
            distance_max=self.distance_max,
            shadow_ns=int(self.shadow_ns),
            primary_ns=int(self.primary_ns),
            outcomes=self._outcomes,
        )

    def metrics(self, weight: float) -> TrafficMetrics:
        """What Prometheus is told, with the version's share; may be called in any thread."""
        return TrafficMetrics(
            weight=weight,
            agreed=self.compared - self.disagreed,
            disagreed=self.disagreed,
            failed=self.shadow_failed,
            dropped=self.dropped,
            outcomes=self._outcomes.number,
            outcome_sum=self._outcomes.total,
        )

    def _sort_latencies(self) -> None:
        if durations := self._durations:
            self._durations = []
            self._latencies.update(latency_bins(durations))

    def _sort_scores(self) -> None:
        if outputs := self._outputs:
            self._outputs = []
            self._rows = 0
            self._scores.update(score_bins(np.concatenate(outputs)))


def score_output(signature: Signature, wanted: str | None) -> int | None:
    """The index of the output that has the scores; None: there is none.

    ``wanted``: its name, else it is the first of floating-point numbers.
    """
    for index, spec in enumerate(signature.outputs):
        if wanted is None and spec.datatype in FLOATS:
            return index
        if spec.name == wanted:
            return None if spec.datatype == "BYTES" else index
    return None
