"""What is asked of a repository about one model."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import NotFound
from serve.repository.catalogue import Catalogue


def test_catalogue_reads_settings_and_versions(tmp_path: Path) -> None:
    for version in ("1", "10", "2", "x"):
        (tmp_path / "m" / version).mkdir(parents=True)
    (tmp_path / "m" / "model.yaml").write_text("labels: {stable: 2}")
    catalogue = Catalogue(tmp_path)
    assert catalogue.config("m").labels == {"stable": 2}
    assert catalogue.versions("m") == (1, 2, 10)


@pytest.mark.parametrize("name", ["absent", "", ".", "..", "../m", ".hidden", "m\0"])
def test_catalogue_knows_no_model_outside_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / ".hidden").mkdir()
    with pytest.raises(NotFound):
        Catalogue(tmp_path).versions(name)


def test_catalogue_reads_settings_again_once_they_have_changed(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    catalogue = Catalogue(tmp_path)
    assert catalogue.config("m").labels == {}
    (folder / "model.yaml").write_text("labels: {stable: 2}")
    first = catalogue.config("m")
    assert first.labels == {"stable": 2}
    assert catalogue.config("m") is first
    (tmp_path / "new").write_text("labels: {stable: 3}")
    (tmp_path / "new").replace(folder / "model.yaml")
    assert catalogue.config("m").labels == {"stable": 3}
    (folder / "model.yaml").unlink()
    assert catalogue.config("m").labels == {}
