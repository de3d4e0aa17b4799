from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from serve.errors import RepositoryError
from serve.repository.golden import difference, read_golden, write_golden


def test_golden_round_trip_keeps_numbers_and_words(tmp_path: Path) -> None:
    words = np.array([[b"a\x00"], [b""], ["Größe".encode()]], object)
    numbers = np.array([[1.5], [np.nan], [np.inf]], np.float32)
    path = tmp_path / "golden.npz"
    write_golden(path, {"w": words, "x.y": numbers}, {"label": words})
    inputs, outputs = read_golden(path)
    assert inputs["w"].tolist() == words.tolist() == outputs["label"].tolist()
    np.testing.assert_array_equal(inputs["x.y"], numbers)


def test_read_golden_says_what_to_do_with_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(RepositoryError, match="holds no samples"):
        read_golden(path)


def test_difference_is_empty_within_the_tolerance_only() -> None:
    wanted = np.array([1.0, np.nan], np.float32)
    assert difference(wanted + np.float32(1e-6), wanted, 1e-5, 0) == ""
    assert "by up to 0.1" in difference(wanted + np.float32(0.1), wanted, 1e-5, 0)
    assert "shape" in difference(wanted[:1], wanted, 1, 1)


def test_difference_takes_no_other_class_or_word() -> None:
    assert "1 of 2" in difference(np.array([1, 2]), np.array([1, 3]), 9, 9)
    words = np.array([b"a", b"b"], object)
    assert difference(np.array(["a", "b"], object), words, 0, 0) == ""
    assert "1 of 2" in difference(np.array([b"a", b"c"], object), words, 9, 9)
