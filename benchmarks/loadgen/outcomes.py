"""What became of each request of an open-loop run, and the sums over it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from benchmarks.loadgen.percentiles import latency_ms
from benchmarks.loadgen.spec import OpenLoop, OpenResult, PhaseResult, Slice

__all__ = ["NO_ANSWER", "Outcomes"]

NO_ANSWER = 0
LATE_SHARE_OF_SLO = 0.05


class Outcomes:
    """Columns with an element a request; lists, because the generator writes single elements."""

    def __init__(
        self, spec: OpenLoop, due_s: npt.NDArray[np.float64], phase: npt.NDArray[np.intp]
    ) -> None:
        self._spec = spec
        self._due_s = due_s
        self._phase = phase
        self.lag_s = [0.0] * len(due_s)
        self.answered_s = [0.0] * len(due_s)
        self.status = [NO_ANSWER] * len(due_s)
        self.without_hint: list[int] = []

    def sum_up(self, client_cpu_s: float) -> OpenResult:
        """Everything at once, when the run is over."""
        latency_s = np.asarray(self.answered_s) - self._due_s
        status = np.asarray(self.status)
        lag_s = np.asarray(self.lag_s)
        late_s = self._spec.slo_ms / 1e3 * LATE_SHARE_OF_SLO
        return OpenResult(
            phases=tuple(
                self._phase_result(index, latency_s, status)
                for index in range(len(self._spec.phases))
            ),
            timeline=self._timeline(latency_s, status),
            lag_ms=latency_ms(lag_s),
            late_share=float(np.mean(lag_s > late_s)) if lag_s.size else 0.0,
            client_cpu_s=round(client_cpu_s, 4),
        )

    def _phase_result(
        self, index: int, latency_s: npt.NDArray[np.float64], status: npt.NDArray[np.intp]
    ) -> PhaseResult:
        phase = self._spec.phases[index]
        mine = self._phase == index
        ok = mine & _is_ok(status)
        counts = Counter(status[mine].tolist())
        return PhaseResult(
            name=phase.name,
            duration_s=phase.duration_s,
            offered=int(mine.sum()),
            statuses={str(code): count for code, count in sorted(counts.items())},
            good=int((ok & (latency_s <= self._spec.slo_ms / 1e3)).sum()),
            refusals_without_hint=int(mine[self.without_hint].sum()),
            latency_ms=latency_ms(latency_s[ok]),
        )

    def _timeline(
        self, latency_s: npt.NDArray[np.float64], status: npt.NDArray[np.intp]
    ) -> tuple[Slice, ...]:
        width_s = self._spec.slice_ms / 1e3
        slices = (self._due_s / width_s).astype(int)
        ok = _is_ok(status)
        timeline = []
        for number in np.unique(slices).tolist():
            mine = slices == number
            good = latency_s[mine & ok]
            worst_ms = round(float(good.max()) * 1e3, 2) if good.size else 0.0
            start_s = round(number * width_s, 3)
            timeline.append(Slice(start_s, int(good.size), int((mine & ~ok).sum()), worst_ms))
        return tuple(timeline)


def _is_ok(status: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    return (status >= 200) & (status < 300)
