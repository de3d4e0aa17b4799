from __future__ import annotations

from pathlib import Path

import pytest

from serve.config import Versions
from serve.errors import RepositoryError
from serve.repository.entry import VersionEntry
from serve.repository.versions import choose, looks_like_version, version_folders

BAD = 3


def load(number: int, folder: Path) -> VersionEntry:
    if number == BAD:
        raise RepositoryError(path=str(folder), problem="bad", remedy="mend it")
    return VersionEntry(number, folder, folder / "model.onnx", "onnxruntime")


@pytest.mark.parametrize(
    ("policy", "there", "served", "broken"),
    [
        ({}, [1, 2, 10], [10], []),
        ({"count": 2}, [1, 2, 10], [2, 10], []),
        ({"count": 9}, [1, 2], [1, 2], []),
        ({}, [1, 2, BAD], [2], [BAD]),
        ({"count": 2}, [1, 2, BAD], [1, 2], [BAD]),
        ({}, [1, BAD, 4], [4], []),
        ({"policy": "all"}, [1, 2, BAD], [1, 2], [BAD]),
        ({"policy": "specific", "numbers": [2, 2]}, [1, 2], [2], []),
        ({"policy": "specific", "numbers": [1, 7]}, [7], [7], [1]),
        ({"policy": "specific", "numbers": [1, 7]}, [1], [1], [7]),
        ({"policy": "specific", "numbers": [BAD]}, [1, BAD], [], [BAD]),
    ],
)
def test_choose_follows_policy(
    policy: dict[str, object], there: list[int], served: list[int], broken: list[int]
) -> None:
    folders = {number: Path(str(number)) for number in there}
    good, bad = choose(Versions.model_validate(policy), folders, load, "model.yaml", {})
    assert [version.number for version in good] == served
    assert list(bad) == broken


@pytest.mark.parametrize(
    ("policy", "labels", "served", "broken"),
    [
        ({}, {"stable": 1}, [1, 4], []),
        ({}, {"stable": 4}, [4], []),
        ({}, {"stable": 1, "canary": 2, "mine": 1}, [1, 2, 4], []),
        ({"count": 2}, {"stable": 1}, [1, 2, 4], [BAD]),
        ({"policy": "specific", "numbers": [2]}, {"stable": 1}, [1, 2], []),
        ({}, {"stable": BAD}, [4], [BAD]),
        ({}, {"stable": 9}, [4], [9]),
    ],
)
def test_choose_serves_what_has_a_label_besides(
    policy: dict[str, object], labels: dict[str, int], served: list[int], broken: list[int]
) -> None:
    folders = {number: Path(str(number)) for number in (1, 2, BAD, 4)}
    good, bad = choose(Versions.model_validate(policy), folders, load, "model.yaml", labels)
    assert [version.number for version in good] == served
    assert list(bad) == broken


def test_label_of_a_version_that_is_not_there_is_named() -> None:
    _, bad = choose(Versions(), {1: Path("1")}, load, "m/model.yaml", {"labels.stable": 9})
    assert "m/model.yaml: labels.stable: there is no version 9" in str(bad[9])


def test_version_folders_are_positive_numbers_without_leading_zeros(tmp_path: Path) -> None:
    for name in ("1", "12", "3", "0", "01", "-1", "1.5", "v1", "x", "١", "9" * 19):
        (tmp_path / name).mkdir()
    (tmp_path / "5").write_text("")
    assert list(version_folders(tmp_path)) == [1, 3, 12]


@pytest.mark.parametrize(
    ("name", "expected"), [("1", True), ("01", True), ("V2", True), ("vx", False), ("", False)]
)
def test_looks_like_version_takes_near_misses(name: str, expected: bool) -> None:
    assert looks_like_version(name) is expected
