"""The ``penstock`` command as its users run it: one that ends, and a server that goes on."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

__all__ = ["PATIENCE_S", "PENSTOCK", "Server", "penstock"]

PENSTOCK = str(Path(sys.executable).with_name("penstock"))
PATIENCE_S = 60


def penstock(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [PENSTOCK, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


class Server:
    """``penstock serve`` on free ports; what it logs is read as it comes."""

    def __init__(self, repository: Path, *flags: str) -> None:
        ports = [f"--{name}-port=0" for name in ("http", "grpc", "admin")]
        command = [PENSTOCK, "serve", str(repository), "--host=127.0.0.1", *ports, *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first logged line that matches."""
        found: list[re.Match[str]] = []

        def seen() -> bool:
            found.extend(match for line in self.lines if (match := re.search(pattern, line)))
            return bool(found)

        with self._news:
            assert self._news.wait_for(seen, PATIENCE_S), f"no {pattern!r} in {self.lines}"
        return found[0]

    def http(self) -> str:
        """The URL of its HTTP port."""
        return f"http://{self.wait_for(r'serving HTTP on ([0-9.]+:[0-9]+)')[1]}"

    def addresses(self) -> dict[str, str]:
        """``host:port`` of ``http``, ``grpc`` and ``admin``."""
        address = r"([0-9.]+:[0-9]+)"
        found = self.wait_for(f"serving HTTP on {address}, gRPC on {address}, admin on {address}")
        return dict(zip(("http", "grpc", "admin"), found.groups(), strict=True))

    def exit_code(self) -> int:
        """Its status, once it has ended."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def close(self) -> None:
        """Kill it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
