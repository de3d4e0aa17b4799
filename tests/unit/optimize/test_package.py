from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optimize.package import version_made_by
from optimize.progress import Progress
from optimize.rows import Input, Rows, decode


def test_version_made_by_is_the_latest_of_such_an_origin(tmp_path: Path) -> None:
    for number, origin in (("1", "a"), ("2", "b")):
        (tmp_path / number).mkdir()
        manifest = {"lineage": {"made_from": origin}}
        (tmp_path / number / "manifest.json").write_text(json.dumps(manifest))
    assert version_made_by(tmp_path, "b") == tmp_path / "2"
    assert version_made_by(tmp_path, "a") is None


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_version_made_by_takes_any_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "manifest.json").write_text(text)
    assert version_made_by(tmp_path, "a") is None


def test_decode_puts_in_what_null_stands_for() -> None:
    words = np.array([[b"a"], [b""]], object)
    gap = np.array([[False], [True]])
    numbers = np.zeros((2, 1), np.float32)
    inputs = [Input("w", "BYTES", (-1, 1), "nan"), Input("x", "FP32", (-1, 1), float("nan"))]
    filled = decode(Rows({"w": words, "x": numbers}, {"w": gap, "x": gap}), inputs)
    assert filled["w"].tolist() == [[b"a"], [b"nan"]]
    assert np.isnan(filled["x"]).tolist() == gap.tolist()


def test_progress_tells_kept_steps_from_new_ones_and_the_time_left(tmp_path: Path) -> None:
    now_ns = [0]
    with open(tmp_path / "log", "w+") as stream:
        progress = Progress(stream, lambda: now_ns[0])
        progress.total = 2
        with progress.step("export"):
            now_ns[0] += 2_000_000_000
        with progress.step("clean"):
            pass
        stream.seek(0)
        assert stream.read() == "[1/2] export: 2.0 s\n[2/2] clean: kept from before\n"
