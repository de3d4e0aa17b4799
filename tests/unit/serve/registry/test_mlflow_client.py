"""What MLflow's client says when there is no registry, or one that does not let us in."""

from __future__ import annotations

import builtins
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from serve.config.source import parse_reference
from serve.errors import RepositoryError
from serve.registry.client import Registered
from serve.registry.mlflow_client import MlflowRegistry, open_mlflow, without_credentials
from tests.support.running import PATIENCE_S

REFERENCE = parse_reference("models:/fraud@champion")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")


class Refusal(http.server.BaseHTTPRequestHandler):
    status = 401

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"no")

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def refusing(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of what answers with a status."""
    handler = type("Handler", (Refusal,), {"status": request.param})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_S)


def test_nowhere_names_flag_and_variable() -> None:
    with pytest.raises(RepositoryError, match=r"--tracking-uri, .*MLFLOW_TRACKING_URI"):
        open_mlflow(None)


def test_client_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "mlflow":
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(RepositoryError, match=r"pip install 'penstock\[mlflow\]'"):
        open_mlflow("http://registry")


@pytest.mark.parametrize(
    ("refusing", "problem"),
    [
        (401, "does not let us in .set MLFLOW_TRACKING_USERNAME"),
        (403, "does not allow it .set MLFLOW_TRACKING_USERNAME"),
        (404, "no MLflow server of a version that we know .correct --tracking-uri"),
        (400, "look at the registry's log"),
    ],
    indirect=["refusing"],
)
def test_refusal_names_the_remedy(refusing: str, problem: str) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(RepositoryError, match=f"^models:/fraud@champion: .*{problem}"):
        open_mlflow(refusing).resolve(REFERENCE)


def test_registry_that_is_down_names_where_it_was_looked_for() -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(RepositoryError) as caught:
        open_mlflow("http://somebody:secret@127.0.0.1:9").resolve(REFERENCE)
    assert "no registry answers at http://127.0.0.1:9 (start it" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_address_of_no_registry_is_told() -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(RepositoryError, match=r"gopher://x is no registry's address"):
        open_mlflow("gopher://x").resolve(REFERENCE)


def test_database_that_cannot_be_opened_says_what_it_takes() -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(RepositoryError) as caught:
        open_mlflow("postgresql://me:secret@127.0.0.1:9/mlflow").resolve(REFERENCE)
    assert "takes all of MLflow (pip install mlflow)" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:pass@host:5000/x?token=1", "https://host:5000/x"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_credentials_are_not_shown(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


class HalfClient:
    """Of a registry whose one version has two files, in a folder."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Nothing is asked yet."""

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        return f"mlflow-artifacts:/1/{name}/{version}/artifacts"


class HalfArtifacts:
    """Downloads what it is told to, and lists what there is."""

    def __init__(self, came: dict[str, bytes]) -> None:
        self._came = came

    def download_artifacts(self, *, artifact_uri: str, dst_path: str, tracking_uri: str) -> str:
        for path, data in self._came.items():
            place = Path(dst_path, "artifacts", path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        return str(Path(dst_path, "artifacts"))

    def list_artifacts(self, *, artifact_uri: str, tracking_uri: str) -> list[SimpleNamespace]:
        if artifact_uri.endswith("/data"):
            return [SimpleNamespace(path="data/model.bin", is_dir=False, file_size=4)]
        return [
            SimpleNamespace(path="MLmodel", is_dir=False, file_size=2),
            SimpleNamespace(path="data", is_dir=True, file_size=None),
        ]


def downloaded(came: dict[str, bytes], folder: Path) -> Path:
    exceptions = SimpleNamespace(MlflowException=RuntimeError)
    mlflow = SimpleNamespace(
        MlflowClient=HalfClient, artifacts=HalfArtifacts(came), exceptions=exceptions
    )
    registry = MlflowRegistry(mlflow, "http://registry")
    return registry.download(Registered("m", 3, "run", 0, "models:/m-1"), folder)


def test_download_that_is_whole_is_handed_over(tmp_path: Path) -> None:
    folder = downloaded({"MLmodel": b"ok", "data/model.bin": b"1234"}, tmp_path)
    assert (folder / "data/model.bin").read_bytes() == b"1234"


@pytest.mark.parametrize(
    ("came", "problem"),
    [
        ({"MLmodel": b"ok", "data/model.bin": b"12"}, r"data/model\.bin has 2 bytes of 4"),
        ({"MLmodel": b"ok"}, r"data/model\.bin is missing"),
    ],
)
def test_download_that_is_not_whole_is_refused(
    tmp_path: Path, came: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(RepositoryError, match=rf"is not whole: {problem} \(pull it again\)"):
        downloaded(came, tmp_path)
