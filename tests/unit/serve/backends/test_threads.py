from __future__ import annotations

import os
from pathlib import Path

import pytest

from serve.backends.threads import available_cores, threads_per_batch
from serve.config import Resources


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


def cores(tmp_path: Path, files: dict[str, str], membership: str) -> int:
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "membership").write_text(membership)
    return available_cores(tmp_path / "cgroup", tmp_path / "membership")


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({}, "0::/\n", 8),
        ({"cpu.max": "max 100000\n"}, "0::/\n", 8),
        ({"cpu.max": "250000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "50000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "1600000 100000\n"}, "0::/\n", 8),
        ({"pod/cpu.max": "300000 100000\n", "pod/box/cpu.max": "max 100000"}, "0::/pod/box\n", 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n", 8),
        ({"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000"}, "1:cpu:/a", 4),
        ({"cpu.max": "nonsense"}, "0::/\n", 8),
    ],
)
def test_available_cores_is_the_least_of_affinity_and_quotas(
    tmp_path: Path, files: dict[str, str], membership: str, expected: int
) -> None:
    assert cores(tmp_path, files, membership) == expected


def test_available_cores_is_the_affinity_when_there_are_no_control_groups(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "none", tmp_path / "none") == 8


@pytest.mark.parametrize(
    ("instances", "setting", "threads"), [(1, None, 8), (3, None, 2), (16, None, 1), (4, 6, 6)]
)
def test_threads_per_batch_is_a_fair_share_unless_set(
    instances: int, setting: int | None, threads: int
) -> None:
    resources = Resources(instances=instances, intra_op_threads=setting)
    assert threads_per_batch(resources, 8) == threads
