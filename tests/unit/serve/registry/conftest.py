"""A registry in memory, and an object store in memory that counts what is fetched."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from serve.config.source import RegistryReference
from serve.registry.client import Package, Registered, problem_with
from serve.registry.mlmodel import write_mlmodel
from serve.registry.store import Listing, ObjectStore, open_store
from tests.support import onnx_models


class FakeRegistry:
    """Registered models by name and alias; ``fault`` is raised by whatever is asked."""

    where = "http://registry"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.aliases: dict[tuple[str, str], int] = {}
        self.versions: dict[tuple[str, int], Registered] = {}
        self.digests: dict[str, Registered] = {}
        self.fault: Exception | None = None
        self.questions = self.downloads = 0

    def add(self, name: str, number: int, files: Mapping[str, bytes | Path]) -> Registered:
        """Register these files."""
        folder = self._folder / name / str(number)
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(data, Path):
                shutil.copyfile(data, folder / path)
            else:
                (folder / path).write_bytes(data)
        made = Registered(name, number, "run", len(self.versions), str(folder))
        self.versions[name, number] = made
        return made

    def add_graph(self, name: str, number: int, factor: float = 1.0) -> Registered:
        """Register a graph as MLflow does."""
        graph = onnx_models.scaled(self._folder / f"{uuid.uuid4().hex}.onnx", factor)
        files = {"MLmodel": mlmodel("onnx", data="graph.onnx"), "graph.onnx": graph}
        return self.add(name, number, {**files, "requirements.txt": b"onnx"})

    def resolve(self, reference: RegistryReference) -> Registered:
        self.questions += 1
        if self.fault is not None:
            raise self.fault
        number = reference.number or self.aliases.get((reference.name, reference.alias), 0)
        if (reference.name, number) not in self.versions:
            raise problem_with(reference, "is not there", "register it")
        return self.versions[reference.name, number]

    def download(self, version: Registered, folder: Path) -> Path:
        self.downloads += 1
        if self.fault is not None:
            raise self.fault
        shutil.copytree(version.uri, folder / "files")
        return folder / "files"

    def register(self, name: str, package: Package, alias: str = "") -> tuple[Registered, bool]:
        if self.fault is not None:
            raise self.fault
        known = self.digests.get(package.digest)
        if known is None:
            number = 1 + max((n for model, n in self.versions if model == name), default=0)
            files: dict[str, bytes | Path] = {
                str(path.relative_to(package.folder)): path for path in package.files
            }
            write_mlmodel(package, "run", lambda path: files.update(MLmodel=path.read_bytes()))
            made = self.digests[package.digest] = self.add(name, number, files)
        else:
            made = known
        if alias:
            self.aliases[name, alias] = made.number
        return made, known is None


def mlmodel(flavour: str, **settings: str) -> bytes:
    """The file that says how a model was saved."""
    return yaml.safe_dump({"flavors": {flavour: settings}}).encode()


class CountingStore(ObjectStore):
    """A store that notes what is fetched."""

    fetched: list[str]

    def fetch(self, targets: Mapping[str, Path], listing: Listing) -> None:
        self.fetched += targets
        super().fetch(targets, listing)


class MemoryStore:
    """Files by path below a place of the test's own in fsspec's memory."""

    def __init__(self) -> None:
        pytest.importorskip("fsspec")
        self._root = f"/{uuid.uuid4().hex}"
        self.url = f"memory:/{self._root}"

    def open(self) -> CountingStore:
        opened = open_store(self.url)
        opened.__class__ = CountingStore
        assert isinstance(opened, CountingStore)
        opened.fetched = []
        return opened

    def put(self, files: Mapping[str, bytes | str]) -> None:
        """Objects by key; a key is taken as it is, as object stores do."""
        from fsspec.implementations.memory import MemoryFile

        system = open_store(self.url)._system
        for key, data in files.items():
            path = f"{self._root}/{key}"
            contents = data.encode() if isinstance(data, str) else data
            system.store[path] = MemoryFile(system, path, contents)

    def remove(self, *keys: str) -> None:
        system = open_store(self.url)._system
        for key in keys:
            del system.store[f"{self._root}/{key}"]


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    return FakeRegistry(tmp_path / "registry")


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that follows ``models:/fraud@champion``."""
    folder = tmp_path / "models" / "fraud"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text("source: models:/fraud@champion\n")
    return folder
