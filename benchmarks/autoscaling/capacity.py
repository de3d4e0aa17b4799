"""What one replica of a model can do, and how long its answers take."""

from __future__ import annotations

import math
from pathlib import Path

from serve.clock import NS_PER_S
from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.executors.loader import limits_of
from serve.repository.manifest import Profile, read_manifest
from serve.repository.scan import scan_model
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import batch_limit

__all__ = ["Capacity", "Wait", "given", "of_profile"]

REMEDY = (
    "give what one replica does with --qps (`penstock bench nightly --only max_qps` measures it)"
)
Wait = tuple[float, float]
"""Who waits at all, as a part of 1, and for how many seconds these do on average."""


class Capacity:
    """``per_s``: predictions a second of a replica whose slots run batches of the best size."""

    def __init__(self, profile: dict[int, int], config: ModelConfig, origin: str) -> None:
        """``profile``: batch rows to nanoseconds."""
        self.origin = origin
        self.slots = config.resources.instances
        self._cost = CostModel(profile)
        most = config.batching.max_batch_size
        limits = limits_of(config, max(profile) if most is None else max(1, most))
        self.best_rows = batch_limit(self._cost, limits)
        self.row_s = self._cost.batch_ns(self.best_rows) / self.best_rows / NS_PER_S
        self.per_s = self.slots / self.row_s

    def batch(self, per_s: float) -> tuple[int, float]:
        """Rows and seconds of the batches of a replica that is sent so many predictions a second.

        A batch has what comes while the one before runs, so slots that have time run small ones.
        """
        each = per_s / self.slots
        rows = 1
        while rows < self.best_rows:
            come = math.ceil(each * self._cost.batch_ns(rows) / NS_PER_S)
            if come <= rows:
                break
            rows = min(self.best_rows, come)
        return rows, self._cost.batch_ns(rows) / NS_PER_S

    def wait(self, per_s: float, replicas: int) -> Wait:
        """How predictions that come at random wait for a slot of ``replicas``, which keep up.

        Sakasegawa's approximation of queues (Ann. Inst. Statist. Math. 29, 1977), for batches
        that all take as long; where slots always have the next one, for half of what runs too.
        """
        rows, batch_s = self.batch(per_s / replicas)
        slots = self.slots * replicas
        free = max(0.02, 1 - per_s / (self.per_s * replicas))
        if rows > 1:
            return 1.0, batch_s / 2 / free
        busy = per_s * batch_s / slots
        waits = busy ** (math.sqrt(2 * (slots + 1)) - 1)
        return waits, batch_s / 2 / slots / free


def given(per_s: float, config: ModelConfig) -> Capacity:
    """A figure that somebody claims: every prediction takes as long, in a batch or alone.

    Raises:
        ValueError: it is not above 0.
    """
    if not (math.isfinite(per_s) and per_s > 0):
        raise ValueError(f"--qps {per_s:g}: predictions a second of one replica, above 0")
    profile = {1: max(1, round(config.resources.instances / per_s * NS_PER_S))}
    return Capacity(profile, config, "given on the command line, not measured by this run")


def of_profile(folder: Path, config: ModelConfig) -> Capacity:
    """What ``penstock optimize`` measured of a model's newest version, batched as ``config`` says.

    Raises:
        ValueError: there is no version, or it has no profile.
    """
    try:
        version = scan_model(folder).versions[-1]
        manifest = read_manifest(version.artefact.parent)
    except RepositoryError as error:
        raise ValueError(f"{error}; or {REMEDY}") from error
    measured = manifest.profiles if manifest is not None else ()
    if not measured:
        raise ValueError(
            f"{folder}: version {version.number} has no measured profile: build it with `penstock"
            f" optimize`, or {REMEDY}"
        )
    threads = config.resources.intra_op_threads
    profile = next((one for one in measured if one.intra_op_threads == threads), measured[0])
    origin = f"profile of version {version.number}, measured on {profile.hardware_key}"
    return Capacity(_rows(profile), config, origin)


def _rows(profile: Profile) -> dict[int, int]:
    return {
        row.batch: max(1, round(row.p50_us * 1000))
        for row in profile.rows
        if row.length == profile.typical_length
    }
