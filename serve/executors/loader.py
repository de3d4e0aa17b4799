"""From a version folder to a live model: load, check, warm up, measure.

``prepare`` blocks and runs in a worker thread; ``go_live`` puts the result on the event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field

from serve.backends.base import Backend, BackendSource
from serve.backends.providers import nvidia_device_present
from serve.backends.registry import backend_for_artefact, create_backend
from serve.backends.tensorrt import gpu_facts
from serve.backends.text import taking_text
from serve.backends.threads import available_cores
from serve.backends.warmup import warmup_batch
from serve.clock import NS_PER_MS, NS_PER_S, Clock
from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.executors.in_process import InProcessExecutor, run_batch
from serve.executors.live import LiveModel
from serve.executors.verified import replay_golden, verified_settings
from serve.monitoring.metrics import VersionMetrics
from serve.repository.digest import digest_of
from serve.repository.entry import ModelEntry, VersionEntry
from serve.repository.hardware import hardware_key
from serve.repository.manifest import Manifest
from serve.scheduling.batcher import Batcher
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import Limits
from serve.tensors import Signature

__all__ = ["Prepared", "go_live", "limits_of", "prepare", "source_of"]

DEFAULT_MAX_BATCH_ROWS = 128
REPEATS = 3
"""Runs of each warm-up size that are timed; the fastest counts, since noise only adds."""

LONGEST_PAUSE_S = 1.0
"""After a warm-up batch, where others are being asked."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A loaded and warm backend; ``profile`` maps batch rows to nanoseconds.

    ``released`` is set when the backend is closed and what it held is free again. ``manifest`` is
    what it was loaded with, if it has one.
    ``digest`` is of its files, where answers are shared with other servers; else "".
    """

    source: BackendSource
    backend: Backend
    backend_name: str
    signature: Signature
    max_batch_rows: int
    profile: dict[int, int]
    digest: str = ""
    manifest: Manifest | None = None
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def inline(self) -> bool:
        """Whether a batch that is expected to be short will be: no Python, and no text, which
        takes as long as it is, whatever the batch before it took."""
        return self.backend_name != "python" and self.source.config.tokenizer is None


def source_of(entry: ModelEntry, version: VersionEntry) -> BackendSource:
    """What a backend loads a version from."""
    config = entry.config.model_copy(update={"backend": version.backend})
    return BackendSource(entry.name, version.number, entry.folder, version.artefact, config)


def prepare(source: BackendSource, clock: Clock, *, beside: bool = False) -> Prepared:
    """Load a version and run its warm-up batches. Blocks: call it in a thread.

    ``beside``: others are being asked meanwhile, who get the cores for as long as each warm-up
    batch has had them.

    Raises:
        RepositoryError: the folder is wrong, its files or answers are not those of its manifest,
            or the model fails on a warm-up batch.
    """
    source, manifest = verified_settings(source)
    cache = source.config.cache
    digest = digest_of(source.artefact, source.config) if cache and cache.shared else ""
    backend_name = source.config.backend or backend_for_artefact(source.artefact)
    backend = taking_text(create_backend(backend_name), source.config)
    signature = backend.load(source)
    limit = source.config.batching.max_batch_size
    if not signature.batched:
        limit = 1
    elif limit is None:
        limit = DEFAULT_MAX_BATCH_ROWS
    try:
        if manifest is not None:
            replay_golden(source, backend, signature, manifest, limit)
        profile = _measured_before(source, manifest, limit)
        if profile:
            # Its sizes need no timing, but the largest must have run once before a caller's does.
            _run_once(source, backend, signature, max(profile), clock)
        else:
            profile = _warm_up(source, backend, signature, limit, clock, beside)
    except BaseException:
        backend.close()
        raise
    return Prepared(source, backend, backend_name, signature, limit, profile, digest, manifest)


def go_live(
    prepared: Prepared, metrics: VersionMetrics, clock: Clock, loop: asyncio.AbstractEventLoop
) -> LiveModel:
    """Put a batcher and an executor around a prepared backend. Runs on the event loop."""
    source, config = prepared.source, prepared.source.config
    executor = InProcessExecutor(
        prepared.backend,
        prepared.signature,
        name=source.model_name,
        instances=config.resources.instances,
        inline=prepared.inline,
        clock=clock,
        loop=loop,
        released=prepared.released.set,
    )
    batcher = Batcher(
        source.model_name,
        limits_of(config, prepared.max_batch_rows),
        CostModel(prepared.profile),
        executor,
        metrics,
        clock,
        loop,
    )
    return LiveModel(
        source.model_name,
        str(source.version),
        config,
        prepared.signature,
        prepared.backend_name,
        prepared.backend.platform(),
        prepared.max_batch_rows,
        batcher,
        executor,
        metrics,
        digest=prepared.digest,
    )


def limits_of(config: ModelConfig, max_batch_rows: int) -> Limits:
    """What a batcher may do, by a model's settings."""
    batching, slo = config.batching, config.slo
    return Limits(
        max_batch_rows=max_batch_rows,
        max_queue_rows=max(batching.max_queue_rows, max_batch_rows),
        max_delay_ns=int(batching.max_queue_delay_ms * NS_PER_MS),
        preferred_rows=batching.preferred_batch_sizes,
        slo_ns=int(slo.latency_ms * NS_PER_MS) if slo.latency_ms else 0,
    )


def _measured_before(
    source: BackendSource, manifest: Manifest | None, limit: int
) -> dict[int, int]:
    """The manifest's profile, if it is of such a machine and such a session; else empty."""
    resources = source.config.resources
    threads = resources.intra_op_threads
    if manifest is None or threads is None:
        return {}
    level = resources.graph_optimization or "all"
    key = hardware_key(available_cores(), gpu=_gpu(resources.device))
    measured = manifest.profile_for(key, threads, level)
    return {rows: took_ns for rows, took_ns in measured.items() if rows <= limit}


def _gpu(device: str) -> str:
    """The name of the GPU that a model with this setting runs on; empty if on none."""
    if device == "cpu" or not nvidia_device_present():
        return ""
    facts = gpu_facts(int(device.partition(":")[2] or 0))
    return "" if isinstance(facts, str) else facts[0]


def _warm_up(
    source: BackendSource,
    backend: Backend,
    signature: Signature,
    limit: int,
    clock: Clock,
    beside: bool,
) -> dict[int, int]:
    """Run batches of growing size within the budget; the first always runs, as the proof."""
    warmup = source.config.warmup
    sizes = [rows for rows in warmup.batch_sizes if rows <= limit] or _powers(limit)
    give_up_ns = clock() + int(warmup.budget_ms * NS_PER_MS)
    profile: dict[int, int] = {}
    for rows in sizes:
        for repeat in range(REPEATS + 1):
            if profile and clock() > give_up_ns:
                return profile
            took_ns = _run_once(source, backend, signature, rows, clock)
            if repeat or rows not in profile:  # the first run of a size also pays for set-up
                profile[rows] = min(profile.get(rows, took_ns), took_ns) if repeat > 1 else took_ns
            if beside:
                time.sleep(min(took_ns / NS_PER_S, LONGEST_PAUSE_S))
    return profile


def _run_once(
    source: BackendSource, backend: Backend, signature: Signature, rows: int, clock: Clock
) -> int:
    """Nanoseconds of a made-up batch."""
    batch = warmup_batch(signature, source.config, rows)
    outcome = run_batch(backend, signature, batch, clock, source.model_name)
    if outcome.error is not None:
        raise RepositoryError(
            path=str(source.artefact),
            problem=f"the warm-up batch of {rows} rows failed: {outcome.error}",
            remedy="run the model on such a batch by hand; inputs.<name>.default and"
            " warmup.batch_sizes in model.yaml say what is tried",
        )
    return outcome.execute_ns


def _powers(limit: int) -> list[int]:
    sizes = [1]
    while sizes[-1] * 2 <= limit:
        sizes.append(sizes[-1] * 2)
    if sizes[-1] != limit:
        sizes.append(limit)
    return sizes
