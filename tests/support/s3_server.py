"""A local S3 for tests, on a free port, with everything in its memory."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import PATIENCE_S

__all__ = ["S3Server", "need_s3"]

BUCKET = "models-of-test"
MAIN = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


def need_s3() -> None:
    """Skip the test where there is no server, or nothing that speaks to it."""
    for name in ("moto", "flask", "s3fs"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'penstock[dev]'")


class S3Server:
    """Started once; what tests put there is under prefixes of their own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", MAIN, str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert time.monotonic() < give_up_s, "S3 does not answer"
            assert self._process.poll() is None, "S3 did not start"
            time.sleep(0.02)

    @property
    def environment(self) -> dict[str, str]:
        """What a client takes from its environment."""
        return {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def files(self) -> Any:
        """The bucket as files by ``bucket/key``, which does not look at the environment."""
        import s3fs

        return s3fs.S3FileSystem(
            key="nobody",
            secret="secret",
            endpoint_url=self.endpoint,
            client_kwargs={"region_name": "us-east-1"},
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def upload(self, folder: Path, prefix: str) -> None:
        """Put all files of a folder below ``prefix`` of the bucket."""
        files = self.files()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                files.put_file(str(path), f"{BUCKET}/{prefix}/{path.relative_to(folder)}")

    def url(self, prefix: str) -> str:
        """Of the repository below a prefix."""
        return f"s3://{BUCKET}/{prefix}"

    def stop(self) -> None:
        """End it; what it held is lost."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def _answers(self) -> bool:
        request = urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
                return bool(reply.status == 200)
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 409
        except OSError:
            return False
