"""The models that peers are compared on, real requests for them, and the right answers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import sample
from benchmarks.peers.onnx_model import OnnxModel

__all__ = ["MODELS", "PeerModel", "Record"]

Record = Mapping[str, Any]
"""One request as a JSON object: a number, a string or a list of numbers for each input."""

ROOT = Path(__file__).resolve().parents[2]
RECORDS = 16


@dataclass(frozen=True, slots=True)
class PeerModel:
    """One ONNX file, as a repository for Penstock and as a path for everybody else."""

    name: str
    path: Path
    repository: Path
    records: Sequence[Record]
    """Different from each other, so that answers given to the wrong caller are noticed."""
    expected: Sequence[float]
    """``probability`` of each record, from ONNX Runtime itself."""
    session: OnnxModel


def build_mlp(folder: Path) -> PeerModel:
    """30 FP32 features → probability: a batch takes microseconds, so the server is what is seen."""
    path = dataclasses.replace(SMALL, name="mlp").write(folder)
    rows = sample(RECORDS, FEATURES).astype(np.float64)
    # As a client writes them: four significant digits, not the whole of the binary fraction.
    records = [{"x": [float(f"{value:.4g}") for value in row]} for row in rows]
    return _with_answers("mlp", path, folder, records)


def build_fraud(folder: Path) -> PeerModel:
    """The model that comes with the repository: raw numbers and strings, preprocessed in the graph.

    Raises:
        FileNotFoundError: it is not built yet (`make models`).
    """
    source = ROOT / "models" / "fraud"
    if not (source / "1" / "model.onnx").exists():
        raise FileNotFoundError("models/fraud has no version 1: run `make models` first")
    shutil.copytree(source, folder / "fraud", ignore=shutil.ignore_patterns("*.py", "*.md"))
    return _with_answers("fraud", folder / "fraud" / "1" / "model.onnx", folder, transactions())


MODELS: Mapping[str, Callable[[Path], PeerModel]] = {"mlp": build_mlp, "fraud": build_fraud}


def transactions(count: int = RECORDS, seed: int = 0) -> list[dict[str, Any]]:
    """Card transactions with every field present, of the ranges that the model card gives."""
    rng = np.random.default_rng(seed)
    countries = ("DE", "FR", "US", "GB", "NL")
    return [
        {
            "amount": round(float(rng.lognormal(3.5, 1.2)), 2),
            "hour": int(rng.integers(24)),
            "account_age_days": int(rng.integers(5, 3000)),
            "tx_count_1h": int(rng.integers(5)),
            "tx_count_24h": int(rng.integers(5, 12)),
            "amount_sum_24h": round(float(rng.lognormal(4.0, 1.0)), 2),
            "amount_vs_usual": round(float(rng.lognormal(0.0, 0.8)), 3),
            "distance_km_from_last": round(float(rng.exponential(80.0)), 1),
            "merchant_category": str(rng.choice(("electronics", "fuel", "groceries", "travel"))),
            "country": str(rng.choice(countries)),
            "card_country": str(rng.choice(countries)),
            "entry_mode": str(rng.choice(("chip", "contactless", "online", "swipe"))),
        }
        for _ in range(count)
    ]


def _with_answers(name: str, path: Path, repository: Path, records: Sequence[Record]) -> PeerModel:
    session = OnnxModel(str(path))
    expected = [float(answer["probability"]) for answer in session.predict(records)]
    return PeerModel(name, path, repository, records, expected, session)
