"""Gates in front of Python models, by model name, which a test in the same process shuts."""

from __future__ import annotations

import threading

PATIENCE_S = 60


class Gate:
    """Open unless a test shuts it; notes the rows of every batch that came."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self.entered = threading.Event()
        self.batches: list[int] = []

    def shut(self) -> None:
        """From now on a batch waits."""
        self.batches.clear()
        self.entered.clear()
        self._open.clear()

    def open(self) -> None:
        """Let through what waits, and all that comes."""
        self._open.set()

    def wait_until_entered(self) -> None:
        """Return once a batch stands at the gate."""
        assert self.entered.wait(PATIENCE_S), "no batch came"

    def pass_through(self, rows: int) -> None:
        """What a model does first."""
        self.batches.append(rows)
        self.entered.set()
        assert self._open.wait(PATIENCE_S), "nobody opened the gate"


GATES = {name: Gate() for name in ("raises", "short", "hangs")}

KEPT = Gate()
"""That of the model whose answers are kept."""
