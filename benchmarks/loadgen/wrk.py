"""wrk, the closed-loop generator that costs least: its command line, and what it prints."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.loadgen.spec import LoadResult
from benchmarks.payloads import Payload

__all__ = ["available", "parse", "run", "script"]

UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}
_COUNT = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m),", re.MULTILINE)
_PERCENTILE = re.compile(r"^\s*(50|99)%\s+([\d.]+)(us|ms|s|m)", re.MULTILINE)
_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")


def available() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def script(payload: Payload, body_file: Path) -> str:
    """The Lua that makes wrk send ``payload``; its request is formatted once, at the start."""
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in payload.headers)
    return (
        f'wrk.method = "POST"\n{headers}'
        f'local file = io.open("{body_file}", "rb")\n'
        'wrk.body = file:read("*a")\nfile:close()\n'
    )


def run(
    port: int, payload: Payload, folder: Path, *, connections: int, duration_s: int
) -> LoadResult:
    """Load a server of this machine; one thread, because the server needs the other cores."""
    body_file = folder / f"{payload.name}.body"
    body_file.write_bytes(payload.body)
    lua = folder / f"{payload.name}.lua"
    lua.write_text(script(payload, body_file))
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{connections}", f"-d{duration_s}s", "--latency"),
            *("--timeout", "10s", "-s", str(lua), f"http://127.0.0.1:{port}{payload.path}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return parse(done.stdout)


def parse(text: str) -> LoadResult:
    """wrk's report.

    Raises:
        ValueError: it is not one.
    """
    count = _COUNT.search(text)
    if count is None:
        raise ValueError(f"wrk printed no request count: {text[:500]!r}")
    percentiles = {
        point: float(value) * UNITS_MS[unit] for point, value, unit in _PERCENTILE.findall(text)
    }
    failed = int(status.group(1)) if (status := _STATUS.search(text)) else 0
    requests = int(count.group(1))
    if sockets := _SOCKET.search(text):
        # wrk counts only what was answered; what was not is neither here nor there otherwise.
        lost = sum(map(int, sockets.groups()))
        failed, requests = failed + lost, requests + lost
    return LoadResult(
        tool="wrk",
        requests=requests,
        failed=failed,
        duration_s=float(count.group(2)) * UNITS_MS[count.group(3)] / 1e3,
        p50_ms=round(percentiles.get("50", 0.0), 4),
        p99_ms=round(percentiles.get("99", 0.0), 4),
    )
