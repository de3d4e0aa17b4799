"""What ``penstock check`` finds: every version loaded and warmed up, and told about, unserved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serve.clock import monotonic_ns
from serve.errors import PenstockError
from serve.executors.loader import prepare
from serve.gateway.control import source_of
from serve.gateway.validation import Validator
from serve.repository.entry import ModelEntry, VersionEntry
from serve.repository.scan import scan
from serve.tensors import TensorSpec

__all__ = ["Finding", "check_repository"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One version (or a whole model, version 0): READY with what it is, or why it is not."""

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
        mark = "ok  " if self.state == "READY" else "FAIL"
        where = f"{self.model}/{self.version}" if self.version else self.model
        lines = [f"{mark} {where}: {self.detail}"]
        lines += [f"     warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def check_repository(root: Path) -> list[Finding]:
    """Try every model of a repository. Blocks.

    Raises:
        RepositoryError: the repository itself cannot be read.
    """
    repository = scan(root)
    findings = [
        Finding(broken.name, 0, "UNAVAILABLE", str(broken.error))
        for broken in repository.broken.values()
    ]
    for entry in repository.models.values():
        findings += [
            Finding(entry.name, number, "UNAVAILABLE", str(error))
            for number, error in entry.broken_versions.items()
        ]
        findings += [_try(entry, version) for version in entry.versions]
    return sorted(findings, key=lambda finding: (finding.model, finding.version))


def _try(entry: ModelEntry, version: VersionEntry) -> Finding:
    try:
        prepared = prepare(source_of(entry, version), monotonic_ns)
        signature = prepared.signature
        Validator(signature, entry.config, prepared.max_batch_rows, utf8=False)
        prepared.backend.close()
    except PenstockError as error:
        return Finding(entry.name, version.number, "UNAVAILABLE", str(error), entry.warnings)
    inputs = ", ".join(map(_shown, signature.inputs))
    outputs = ", ".join(map(_shown, signature.outputs))
    batch = f"batches of up to {prepared.max_batch_rows} rows" if signature.batched else "unbatched"
    detail = f"{prepared.backend.platform()}, {batch}; {inputs} -> {outputs}"
    return Finding(entry.name, version.number, "READY", detail, entry.warnings)


def _shown(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.datatype}{list(spec.shape)}{' optional' if spec.optional else ''}"
