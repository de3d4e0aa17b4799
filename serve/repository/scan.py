"""From the folders on disk to what can be served; a broken model never hides the good ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from serve.config import ModelConfig
from serve.errors import RepositoryError
from serve.repository.artefact import ARTEFACT_NAMES, find_artefact
from serve.repository.config_pbtxt import CONFIG_PBTXT, TritonModel, read_config_pbtxt
from serve.repository.entry import BrokenModel, ModelEntry, Repository, VersionEntry
from serve.repository.files import reason_of, shown
from serve.repository.manifest import check_files, read_manifest
from serve.repository.model_yaml import read_model_yaml
from serve.repository.prints import ModelPrint, model_print
from serve.repository.source import SOURCE_STATE, with_source
from serve.repository.versions import (
    Needed,
    choose,
    looks_like_version,
    named,
    version_folders,
)

__all__ = [
    "is_reserved",
    "is_settings",
    "look_at",
    "model_folders",
    "names_in",
    "read_settings",
    "scan",
    "scan_model",
]

MODEL_YAML = "model.yaml"

RESERVED = frozenset({"__pycache__", "__MACOSX", "lost+found", "node_modules"})
"""Folders that tools leave behind; none is a model, and none is worth a word."""


def is_reserved(name: str) -> bool:
    """Whether a folder of this name is never taken for a model."""
    return name.startswith(".") or name in RESERVED


def is_settings(name: str) -> bool:
    """Whether a file of this name, in a model's folder, holds its settings."""
    return name in (MODEL_YAML, CONFIG_PBTXT, SOURCE_STATE)


def scan(root: Path, *, may_be_empty: bool = False, needed: Needed = named) -> Repository:
    """Read a whole repository. Blocks on the disk; imports no runtime and loads no model.

    Raises:
        RepositoryError: ``root`` itself is not a repository, or has no model at all, unless it
            ``may_be_empty`` because models are still to come.
    """
    models: dict[str, ModelEntry] = {}
    broken: dict[str, BrokenModel] = {}
    unbuilt: dict[str, BrokenModel] = {}
    ignored: list[str] = []
    for folder in model_folders(root):
        found = look_at(folder, needed=needed)
        if found is None:
            ignored.append(_shown_name(folder))
        elif isinstance(found, ModelEntry):
            models[_shown_name(folder)] = found
        else:
            place = unbuilt if found.unbuilt else broken
            place[found.name] = found
    if may_be_empty and not any(map(looks_like_version, broken)):
        return Repository(models, broken, tuple(ignored), unbuilt)
    if unbuilt and not models and not broken:
        raise _error(
            root,
            f"has no version of any model, of {', '.join(unbuilt)} neither",
            next(iter(unbuilt.values())).error.remedy,
        )
    if not models and (not broken or all(map(looks_like_version, broken))):
        raise _no_model(root, [*broken, *ignored])
    return Repository(models, broken, tuple(ignored), unbuilt)


def names_in(root: Path) -> list[str]:
    """The names of all folders that hold a model, good or broken. Blocks on the disk.

    Raises:
        RepositoryError: ``root`` cannot be read.
    """
    return [folder.name for folder in model_folders(root) if _holds_model(folder)]


def look_at(
    folder: Path, hidden: Collection[int] = (), needed: Needed = named
) -> ModelEntry | BrokenModel | None:
    """What a folder of the repository holds; None: no model. See ``scan_model``."""
    try:
        return scan_model(folder, hidden, needed=needed) if _holds_model(folder) else None
    except RepositoryError as error:
        return BrokenModel(_shown_name(folder), error, unbuilt=_is_unbuilt(folder))


def scan_model(
    folder: Path,
    hidden: Collection[int] = (),
    settings: TritonModel | None = None,
    *,
    needed: Needed = named,
) -> ModelEntry:
    """Read one model's folder.

    ``hidden`` versions are passed over as if they were not there; ``settings`` stand in for those
    of the folder; ``needed`` tells the versions that are served whatever the policy says.

    Raises:
        RepositoryError: nothing of it can be served.
    """
    if folder.name in ("", ".."):  # the folder itself has a name; symbolic links keep theirs
        folder = folder.resolve()
    with _disk_errors(folder):
        if not folder.is_dir():
            problem = "is a link to nowhere" if folder.is_symlink() else "is no folder"
            raise _error(folder, problem, "put the model's folder in its place")
        _check_name(folder)
        # Before anything is read, so that what changes meanwhile is seen to be another.
        seen = model_print(folder) or ModelPrint()
        config_file: Path | None = None
        warnings: list[str] = []
        if settings is None:
            settings, config_file, warnings = read_settings(folder)
        found = version_folders(folder)
        folders = {number: path for number, path in found.items() if number not in hidden}
        if not folders:
            raise _no_version(folder, settings.config)
        where = str(config_file or folder / MODEL_YAML)
        versions, broken = choose(
            settings.config.versions,
            folders,
            partial(_version, settings, seen),
            where,
            needed(folder.name, settings.config),
        )
        if not versions:
            raise _none_fine(broken)
        warnings += _oddities(folder)
    return ModelEntry(
        folder.name,
        folder,
        settings.config,
        config_file,
        versions,
        broken,
        tuple(warnings),
        tuple(mark for mark in seen.beside if not is_settings(mark[0])),
    )


def _error(path: Path, problem: str, remedy: str) -> RepositoryError:
    return RepositoryError(path=str(path), problem=problem, remedy=remedy)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """What the disk refuses, as the error of this folder."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be read: {reason_of(error)}"
        raise _error(Path(error.filename or path), problem, "let the server read it") from error


def model_folders(root: Path) -> list[Path]:
    """Candidates by name: folders and links to folders; files are passed over.

    Raises:
        RepositoryError: ``root`` cannot be read.
    """
    with _disk_errors(root):
        if not root.exists():
            raise _error(root, "does not exist", "give the folder that holds the models' folders")
        if not root.is_dir():
            raise _error(root, "is no folder", "give the folder that holds the models' folders")
        return sorted(
            path
            for path in root.iterdir()
            if not is_reserved(path.name)
            and (path.is_dir() or (path.is_symlink() and not path.exists()))
        )


def _holds_model(folder: Path) -> bool:
    """Whether a folder was meant to be a model: then what is wrong with it must be said."""
    if folder.is_symlink() and not folder.exists():
        return True
    signs = {MODEL_YAML, "model.yml", CONFIG_PBTXT, "train.py", *ARTEFACT_NAMES.values()}
    with _disk_errors(folder):
        return any(
            path.name in signs or (looks_like_version(path.name) and path.is_dir())
            for path in folder.iterdir()
        )


def _shown_name(folder: Path) -> str:
    """The model's name, or one that can be shown where no client could ask for it."""
    name = folder.name.encode(errors="surrogateescape").decode(errors="replace")
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def _check_name(folder: Path) -> None:
    shown_path = folder.parent / ascii(folder.name)
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise _error(shown_path, "its name is not UTF-8", "rename the folder") from None
    if not folder.name.isprintable():
        raise _error(
            shown_path, "its name has a character that cannot be seen", "rename the folder"
        )


def read_settings(folder: Path) -> tuple[TritonModel, Path | None, list[str]]:
    """The settings in a model's folder, the file they are from, and what to warn of.

    Raises:
        RepositoryError: the file cannot be read, or what it says is wrong.
    """
    model_yaml, config_pbtxt = folder / MODEL_YAML, folder / CONFIG_PBTXT
    if model_yaml.exists() or model_yaml.is_symlink():
        warnings = []
        if config_pbtxt.exists():
            warnings.append(f"{config_pbtxt}: not read, because {MODEL_YAML} is beside it")
        config = with_source(read_model_yaml(model_yaml), folder)
        return TritonModel(config), model_yaml, warnings
    if config_pbtxt.exists() or config_pbtxt.is_symlink():
        settings = read_config_pbtxt(config_pbtxt)
        return settings, config_pbtxt, list(settings.warnings)
    return TritonModel(ModelConfig()), None, []


def _version(settings: TritonModel, seen: ModelPrint, number: int, folder: Path) -> VersionEntry:
    with _disk_errors(folder):
        artefact, backend = find_artefact(
            folder, settings.config.backend, settings.default_model_filename
        )
        manifest = read_manifest(folder)
        if manifest is not None:
            # The sizes tell a copy that is not finished; contents are read when it is loaded.
            check_files(folder, manifest, contents=False)
    return VersionEntry(number, folder, artefact, backend, seen.versions.get(number, ()))


def _none_fine(broken: dict[int, RepositoryError]) -> RepositoryError:
    """The error of a model none of whose versions can be served: the newest one's."""
    newest = broken[max(broken)]
    if len(broken) == 1:
        return newest
    others = "; ".join(str(error) for number, error in broken.items() if number != max(broken))
    return RepositoryError(
        path=newest.path,
        field=newest.field,
        problem=f"{newest.problem}; nor can any other version be served: {others}",
        remedy=newest.remedy,
    )


def _is_unbuilt(folder: Path) -> bool:
    """Whether a folder is nothing worse than a model that has still to be made."""
    try:
        settings, _, _ = read_settings(folder)
        names = [path.name for path in folder.iterdir()]
    except (OSError, RepositoryError):
        return False
    misplaced = any(name in ARTEFACT_NAMES.values() or looks_like_version(name) for name in names)
    return bool(settings.config.optimize or settings.config.source) and not misplaced


def _no_version(folder: Path, config: ModelConfig) -> RepositoryError:
    artefact = ARTEFACT_NAMES[config.backend or "onnxruntime"]
    for name in ARTEFACT_NAMES.values():
        if (folder / name).exists():
            return _error(
                folder, f"{name} is not in a version folder", f"move it to {folder / '1' / name}"
            )
    meant = sorted(path.name for path in folder.iterdir() if looks_like_version(path.name))
    if meant:
        remedy = "name versions by whole numbers from 1 without leading zeros, as in `1`"
        return _error(folder, f"{shown(meant[0])} is no version folder", f"rename it: {remedy}")
    remedy = f"add a version folder `1/` with {artefact}"
    if config.source:
        remedy = f"pull one with `penstock models pull {folder}`"
    elif config.optimize:
        remedy = f"make one with `penstock optimize {folder}`"
    if (folder / "train.py").exists():
        remedy = f"build it with `python {folder / 'train.py'}`, or {remedy}"
    return _error(folder, "has no version", remedy)


def _oddities(folder: Path) -> list[str]:
    """What is probably not meant, and stops nothing."""
    warnings = []
    if (folder / "model.yml").exists():
        warnings.append(f"{folder / 'model.yml'}: not read; its name has to be {MODEL_YAML}")
    if folder.name == "stats":
        warnings.append(f"{folder}: GET /v2/models/stats answers statistics, not this metadata")
    known = version_folders(folder)
    for path in sorted(folder.iterdir()):
        if looks_like_version(path.name) and path.is_dir() and path not in known.values():
            warnings.append(f"{path}: not a version; they are whole numbers without leading zeros")
    return warnings


def _no_model(root: Path, candidates: list[str]) -> RepositoryError:
    """For a root without any model: the commonest slip is to give the model's own folder."""
    if any((root / name).is_file() for name in (MODEL_YAML, CONFIG_PBTXT)) or any(
        looks_like_version(name) for name in candidates
    ):
        parent = root.absolute().parent
        return _error(root, "is one model, not a repository", f"give its parent folder, {parent}")
    problem = "has no model in it"
    if candidates:
        problem += f", only {', '.join(map(shown, candidates[:5]))}"
    return _error(root, problem, "add a model with `penstock init NAME --from FILE`")
