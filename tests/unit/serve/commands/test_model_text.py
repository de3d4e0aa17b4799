"""A model's details as text."""

from __future__ import annotations

from typing import Any

from serve.commands.model_text import model_text
from serve.gateway.details import Details, VersionDetails

SHA = "ab" * 32


def manifest(**fields: Any) -> dict[str, Any]:
    row = {"batch": 1, "length": None, "count": 9, "p50_us": 20.4, "p95_us": 30, "p99_us": 40}
    return {
        "created": "2026-11-30T12:00:00+00:00",
        "lineage": {
            "source": "train.py:make",
            "code_commit": "0123456789abcdef",
            "source_files": {"train.py": "cd" * 32},
            "steps": [{"name": "export", "parameters": {}}, {"name": "quantize", "parameters": {}}],
        },
        "metrics": {"auc": {"value": 0.98123, "original": 0.9815}, "rows": 10, "passed": True},
        "profiles": [
            {
                "hardware_key": "cpu2",
                "intra_op_threads": 2,
                "typical_length": None,
                "memory_bytes": 12_300_000,
                "rows": [row, {**row, "batch": 32, "p50_us": 250.0}],
            }
        ],
        "files": [{"path": "model.onnx", "bytes": 1234, "sha256": SHA}],
        **fields,
    }


def test_version_is_told_with_what_its_manifest_says():
    version = VersionDetails(
        version="3",
        state="READY",
        labels=("best", "stable"),
        answers=True,
        platform="onnxruntime_onnx",
        manifest=manifest(),
    )
    details = Details(name="fraud", owner="risk", description="Is it fraud?", versions=(version,))
    assert model_text(details).splitlines() == [
        "fraud: Is it fraud?",
        "owner: risk",
        "",
        "version 3  READY  onnxruntime_onnx  best, stable, answers where no version is named",
        "    made     2026-11-30T12:00:00+00:00 from train.py:make, commit 0123456789ab",
        "    steps    export > quantize",
        "    source   train.py cdcdcdcdcdcd",
        "    metrics  auc.value 0.9812, auc.original 0.9815, rows 10",
        "    profile  cpu2, 2 threads: rows 1 in 0.0204 ms, 32 in 0.25 ms (p50); 12.3 MB",
        "    file     model.onnx 1234 bytes abababababab",
    ]


def test_version_out_of_a_registry_says_which() -> None:
    origin = {"registry": "http://mlflow:5000", "model": "fraud", "version": 7}
    made = manifest(lineage={"registry": origin})
    version = VersionDetails(version="3", state="READY", manifest=made)
    details = Details(name="fraud", versions=(version,))
    assert " from models:/fraud/7 of http://mlflow:5000\n" in model_text(details)


def test_version_that_failed_is_told_with_the_reason():
    version = VersionDetails(version="4", state="UNAVAILABLE", reason="model.onnx: is no model")
    assert model_text(Details(name="m", versions=(version,))).splitlines() == [
        "m",
        "",
        "version 4  UNAVAILABLE",
        "    model.onnx: is no model",
    ]


def test_version_without_a_manifest_says_so():
    version = VersionDetails(version="1", state="READY", platform="python")
    assert "no manifest is known" in model_text(Details(name="m", versions=(version,)))


def test_manifest_may_leave_out_where_it_comes_from():
    bare = manifest(lineage={}, metrics={}, profiles=[])
    version = VersionDetails(version="1", state="READY", manifest=bare)
    assert model_text(Details(name="m", versions=(version,))).splitlines()[3:] == [
        "    made     2026-11-30T12:00:00+00:00",
        "    file     model.onnx 1234 bytes abababababab",
    ]


def test_many_metrics_are_cut():
    many = manifest(metrics={f"m{number}": number for number in range(20)})
    version = VersionDetails(version="1", state="READY", manifest=many)
    assert "m11 11, and 8 more" in model_text(Details(name="m", versions=(version,)))
