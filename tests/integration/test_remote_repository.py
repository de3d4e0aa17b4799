"""A repository in an object store: a real S3 protocol, on loopback."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http
from tritonclient.http import InferenceServerClient

from serve.errors import RepositoryError
from serve.registry.mirror import Mirror
from serve.registry.place import Place, open_remote
from serve.registry.store import open_store
from serve.repository.manifest import file_sha256
from tests.support import onnx_models
from tests.support.running import PATIENCE_S, RunningApp, free_ports, running
from tests.support.s3_server import BUCKET, S3Server, need_s3

PENSTOCK = str(Path(sys.executable).with_name("penstock"))


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    need_s3()
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """What is put into the store."""
    folder = tmp_path / "models"
    onnx_models.scaled(folder / "m/1/model.onnx", 1.0)
    (folder / "m/model.yaml").write_text("owner: somebody\n")
    return folder


def open_mirror(s3: S3Server, prefix: str, folder: Path) -> Mirror:
    return Mirror(open_store(s3.url(prefix)), folder)


def served_place(s3: S3Server, prefix: str, cache: Path) -> Place:
    return open_remote(s3.url(prefix), cache)


def answer(server: RunningApp) -> float:
    """What the model makes of a one."""
    given = tritonclient.http.InferInput("x", [1, 1], "FP32")
    given.set_data_from_numpy(np.ones((1, 1), np.float32))
    with InferenceServerClient(server.http) as client:
        return float(client.infer("m", [given]).as_numpy("y")[0, 0])


def with_manifest(version: Path) -> Path:
    """Add the manifest of a version with one graph."""
    graph = version / "model.onnx"
    tensor = {"datatype": "FP32", "shape": [-1, 1]}
    manifest = {
        "schema_version": 1,
        "name": "m",
        "version": int(version.name),
        "created": "2026-01-01T00:00:00+00:00",
        "signature": {"inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]},
        "files": [
            {
                "path": graph.name,
                "sha256": file_sha256(graph),
                "bytes": graph.stat().st_size,
            }
        ],
    }
    (version / "manifest.json").write_text(json.dumps(manifest))
    return version


def test_store_is_served_and_followed(
    s3: S3Server, prefix: str, models: Path, tmp_path: Path
) -> None:
    s3.upload(models, prefix)
    place = served_place(s3, prefix, tmp_path / "cache")
    settings = free_ports(model_control_mode="poll", repository_poll_secs=0.1)
    with running(place.root, settings, renew=place.renew) as server:
        assert answer(server) == 1.0
        onnx_models.scaled(models / "m/2/model.onnx", 2.0)
        s3.upload(models / "m/2", f"{prefix}/m/2")
        follow(server, 2.0)
        s3.files().rm(f"{BUCKET}/{prefix}/m/2", recursive=True)
        follow(server, 1.0)
    assert not (place.root / "m/2").exists()


def follow(server: RunningApp, expected: float) -> None:
    """Wait until the server, which polls, answers by what is in the store now."""
    give_up_s = time.monotonic() + PATIENCE_S
    while answer(server) != expected:
        assert time.monotonic() < give_up_s, "the change is not served"
        time.sleep(0.02)


def test_only_what_changed_is_fetched(
    s3: S3Server, prefix: str, models: Path, tmp_path: Path
) -> None:
    s3.upload(models, prefix)
    mirror = open_mirror(s3, prefix, tmp_path / "copy")
    assert mirror.sync() == 2
    assert mirror.sync() == 0
    (models / "m/model.yaml").write_text("owner: nobody\n")
    s3.upload(models, prefix)
    # Put again, with the same contents, the graph has the same mark.
    assert mirror.sync() == 1
    assert (tmp_path / "copy/m/model.yaml").read_text() == "owner: nobody\n"


def test_version_that_is_being_uploaded_waits_until_it_is_whole(
    s3: S3Server, prefix: str, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3.upload(models, prefix)
    mirror = open_mirror(s3, prefix, tmp_path / "copy")
    version = with_manifest(onnx_models.scaled(models / "m/2/model.onnx", 2.0).parent)
    s3.files().put_file(str(version / "manifest.json"), f"{BUCKET}/{prefix}/m/2/manifest.json")
    mirror.sync()
    assert not (tmp_path / "copy/m/2").exists()
    assert (tmp_path / "copy/m/1/model.onnx").is_file()
    assert "m/2 stays as it was: " in caplog.text
    s3.upload(models, prefix)
    mirror.sync()
    assert (tmp_path / "copy/m/2/model.onnx").is_file()


def test_contents_that_are_not_those_of_the_manifest_are_not_served(
    s3: S3Server, prefix: str, models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    version = with_manifest(models / "m/1")
    s3.upload(models, prefix)
    mirror = open_mirror(s3, prefix, tmp_path / "copy")
    mirror.sync()
    data = bytearray((version / "model.onnx").read_bytes())
    data[-1] ^= 1
    s3.files().pipe_file(f"{BUCKET}/{prefix}/m/1/model.onnx", bytes(data))
    mirror.sync()
    assert "the contents of model.onnx are not those that were verified" in caplog.text
    kept = tmp_path / "copy/m/1/model.onnx"
    assert kept.read_bytes() == (version / "model.onnx").read_bytes()


@pytest.mark.parametrize("key", ["../../evil", "m/../../../evil", "m//evil", "/evil", "m/./evil"])
def test_keys_that_lead_elsewhere_are_left_out(
    s3: S3Server,
    prefix: str,
    models: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    s3.upload(models, prefix)
    s3.files().pipe_file(f"{BUCKET}/{prefix}/{key}", b"evil")
    mirror = open_mirror(s3, prefix, tmp_path / "deep/copy")
    assert mirror.sync() == 2
    assert not list(tmp_path.rglob("*evil*"))
    assert "is no path inside a repository" in caplog.text


def test_store_that_is_gone_leaves_what_was_fetched(
    models: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = S3Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    try:
        server.upload(models, "p")
        served_place(server, "p", tmp_path / "cache")
    finally:
        server.stop()
    caplog.set_level(logging.WARNING)
    place = served_place(server, "p", tmp_path / "cache")
    assert (place.root / "m/1/model.onnx").is_file()
    assert "what was fetched before is served" in caplog.text
    with pytest.raises(RepositoryError, match=r"does not answer.*AWS_ENDPOINT_URL"):
        place.renew()
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(RepositoryError, match=r"does not answer.*see that it can be reached"):
        served_place(server, "p", tmp_path / "cache")


def test_nobody_without_credentials_is_told_which_to_set(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(RepositoryError, match="set AWS_PROFILE, or AWS_ACCESS_KEY_ID"):
        served_place(s3, "p-without-credentials", tmp_path)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("s3://no-such-bucket-here/models", "correct the URL, or make the bucket"),
        (f"s3://{BUCKET}/nothing-below-this", "put the models' folders there, or correct the URL"),
    ],
)
def test_place_without_models_names_the_remedy(tmp_path: Path, url: str, remedy: str) -> None:
    with pytest.raises(RepositoryError, match=remedy):
        open_remote(url, tmp_path)


def test_check_explains_a_store(s3: S3Server, prefix: str, models: Path, tmp_path: Path) -> None:
    s3.upload(models, prefix)
    done = subprocess.run(
        [PENSTOCK, "check", s3.url(prefix), "--repository-cache", str(tmp_path / "cache")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "ok   m/1: onnxruntime_onnx" in done.stdout
