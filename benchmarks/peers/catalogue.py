"""Who is compared: each peer as its quick start sets it up, and as its documentation tunes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peers.routes import BENTOML_BATCH, BENTOML_ONE, OIP_V2, Route, json_object

__all__ = ["PEERS", "PENSTOCK", "ROWS", "Row"]

PENSTOCK = "penstock"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    peer: str
    """Its folder here, and under build/peers."""
    row: str
    route: Route
    what: str
    """What sets it apart, in a few words, for the reader of the table."""

    @property
    def name(self) -> str:
        return f"{self.peer} {self.row}"


_PREDICT = json_object("/predict")
_ROOT = json_object("/")

ROWS: tuple[Row, ...] = (
    Row(PENSTOCK, "default", OIP_V2, "`penstock serve REPOSITORY`"),
    Row(PENSTOCK, "ray", OIP_V2, "`penstock serve REPOSITORY --ray`"),
    Row("pytriton", "default", OIP_V2, "quick start: `@batch`, max_batch_size 128"),
    Row("pytriton", "tuned", OIP_V2, "queue delay 1 ms, 2 HTTP threads"),
    Row("mlserver", "default", OIP_V2, "quick start: one worker process"),
    Row("mlserver", "tuned", OIP_V2, "no worker process, no access log"),
    Row("mlserver", "batched", OIP_V2, "tuned, adaptive batches of 64 within 2 ms"),
    Row("litserve", "default", _PREDICT, "quick start: one worker, no batches"),
    Row(
        "litserve",
        "tuned",
        _PREDICT,
        "batches of 64 within 2 ms, 2 API servers, ZeroMQ, no access log",
    ),
    Row("bentoml", "default", BENTOML_ONE, "quick start: no batches"),
    Row("bentoml", "tuned", BENTOML_BATCH, "adaptive batches, no access log"),
    Row("rayserve", "default", _ROOT, "quick start: one replica, no batches"),
    Row("rayserve", "tuned", _ROOT, "`@serve.batch` of 64 within 2 ms, 256 ongoing, no access log"),
    Row("rayserve", "haproxy", _ROOT, "tuned, HAProxy ingress, throughput flags"),
)

PEERS: Mapping[str, str] = {
    "pytriton": "nvidia-pytriton",
    "mlserver": "mlserver",
    "litserve": "litserve",
    "bentoml": "bentoml",
    "rayserve": "ray",
}
"""Folder → the package whose version names the peer."""
