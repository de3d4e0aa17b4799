"""A headless browser for pages that are made here: what it draws, and what it complains of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--enable-logging=stderr",
)


class Chromium:
    """One browser a call, with a profile of its own."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("chromium")
        if found is None:
            pytest.skip("chromium is not installed: apt-get install chromium")
        self._command = (found, *FLAGS, f"--user-data-dir={folder / 'profile'}")

    def complaints(self, page: Path, *flags: str) -> list[str]:
        """Open a page; what its console says, errors to load something included."""
        done = subprocess.run(
            [*self._command, *flags, page.as_uri()], capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
