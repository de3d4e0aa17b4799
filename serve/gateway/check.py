"""What ``penstock check`` finds: every version loaded and warmed up, and told about, unserved."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serve.clock import monotonic_ns
from serve.errors import PenstockError
from serve.gateway.control import DEFAULT_LOAD_TIMEOUT_S, source_of
from serve.gateway.loading import not_loaded_in_time, start_load
from serve.gateway.validation import Validator
from serve.repository.entry import ModelEntry, VersionEntry
from serve.repository.scan import scan
from serve.tensors import TensorSpec

__all__ = ["UNBUILT", "Finding", "check_repository"]

UNBUILT = "UNBUILT"

log = logging.getLogger("penstock.models")


@dataclass(frozen=True, slots=True)
class Finding:
    """One version (or a whole model, version 0): READY with what it is, or why it is not.

    UNBUILT is no fault: the model has still to be made.
    """

    model: str
    version: int
    state: str
    detail: str
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def as_text(self) -> str:
        """For people."""
        mark = {"READY": "ok  ", UNBUILT: "none"}.get(self.state, "FAIL")
        where = f"{self.model}/{self.version}" if self.version else self.model
        lines = [f"{mark} {where}: {self.detail}"]
        lines += [f"     warning: {warning}" for warning in self.warnings]
        return "\n".join(map(_on_one_line, lines))


def check_repository(
    root: Path, load_timeout_s: float = DEFAULT_LOAD_TIMEOUT_S
) -> Iterator[Finding]:
    """Try every model of a repository, by name and version; each is told about when it is known.

    What models print goes to standard error meanwhile. Blocks.

    Raises:
        RepositoryError: the repository itself cannot be read.
    """
    repository = scan(root)
    for name in sorted({*repository.models, *repository.broken, *repository.unbuilt}):
        if name in repository.unbuilt:
            yield Finding(name, 0, UNBUILT, str(repository.unbuilt[name].error))
            continue
        if name in repository.broken:
            yield Finding(name, 0, "UNAVAILABLE", str(repository.broken[name].error))
            continue
        entry = repository.models[name]
        versions = {version.number: version for version in entry.versions}
        for number in sorted({*versions, *entry.broken_versions}):
            if number in versions:
                yield _try(entry, versions[number], load_timeout_s)
            else:
                yield Finding(name, number, "UNAVAILABLE", str(entry.broken_versions[number]))


def _try(entry: ModelEntry, version: VersionEntry, timeout_s: float) -> Finding:
    source = source_of(entry, version)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            load = start_load(source, monotonic_ns)
            try:
                prepared = load.result(timeout_s)
            except TimeoutError:
                load.cancel()
                raise not_loaded_in_time(source, timeout_s) from None
            signature = prepared.signature
            Validator(signature, prepared.source.config, prepared.max_batch_rows, utf8=False)
            prepared.backend.close()
    except PenstockError as error:
        return Finding(entry.name, version.number, "UNAVAILABLE", str(error), entry.warnings)
    except Exception as error:
        log.exception("model '%s' could not be tried", entry.name)
        detail = f"{version.artefact}: {type(error).__name__}: {error}"
        return Finding(entry.name, version.number, "UNAVAILABLE", detail, entry.warnings)
    inputs = ", ".join(map(_shown, signature.inputs))
    outputs = ", ".join(map(_shown, signature.outputs))
    batch = f"batches of up to {prepared.max_batch_rows} rows" if signature.batched else "unbatched"
    detail = f"{prepared.backend.platform()}, {batch}; {inputs} -> {outputs}"
    return Finding(entry.name, version.number, "READY", detail, entry.warnings)


def _shown(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype}{list(spec.shape)}{' optional' if spec.optional else ''}"


def _on_one_line(text: str) -> str:
    """Names of tensors may hold anything; no line of a report is theirs to begin."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
