"""``penstock admin-key``: the secret is shown once, its digest is kept."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

import serve.cli
from serve.transport.admin.keys import read_keys


def test_key_goes_into_the_file_and_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    done = CliRunner().invoke(serve.cli.app, ["admin-key", "ci", "--file", str(path), "--json"])
    made = json.loads(done.stdout)
    assert read_keys(path).name_of(made["key"].encode()) == "ci"
    assert path.read_text() == made["line"] + "\n"


def test_line_is_printed_for_a_file_of_ones_own() -> None:
    done = CliRunner().invoke(serve.cli.app, ["admin-key", "ci"])
    key, line = done.stdout.splitlines()
    assert key.startswith("key:  penstock_")
    assert line.startswith("line: ci: sha256:")


def test_name_that_is_none_is_refused() -> None:
    done = CliRunner().invoke(serve.cli.app, ["admin-key", "a b"])
    assert "is no name of a key" in str(done.exception)
