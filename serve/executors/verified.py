"""A version with a manifest is the one that was verified: its files and its answers say so."""

from __future__ import annotations

from dataclasses import replace

from serve.backends.base import Backend, BackendSource
from serve.backends.output_check import check_outputs
from serve.backends.tensorrt import COMPILED
from serve.errors import PenstockError, RepositoryError
from serve.repository.golden import difference, read_golden
from serve.repository.manifest import (
    MANIFEST,
    Manifest,
    check_files,
    read_manifest,
    settings_of,
)
from serve.tensors import Array, Batch, Signature

__all__ = ["replay_golden", "verified_settings"]

REMEDY = (
    "build the version again with `penstock optimize` on a machine like this one, or serve the"
    " version before it"
)


def verified_settings(source: BackendSource) -> tuple[BackendSource, Manifest | None]:
    """The source with what its manifest adds to the settings; every file is read and compared.

    Raises:
        RepositoryError: the manifest is wrong, or a file is not the one that was verified.
    """
    folder = source.artefact.parent
    manifest = read_manifest(folder)
    if manifest is None:
        return source, None
    check_files(folder, manifest, contents=True)
    config = settings_of(source.config, manifest)
    listed = {folder / entry.path for entry in manifest.files}
    native = {path for path in (folder / COMPILED).rglob("*") if path.is_file()}
    return replace(source, config=config, verified={source.artefact, *native} <= listed), manifest


def replay_golden(
    source: BackendSource, backend: Backend, signature: Signature, manifest: Manifest, limit: int
) -> None:
    """Ask the model what it was asked when it was verified: all rows together, and the first alone.

    Raises:
        RepositoryError: an answer is not the one recorded, or there is none.
    """
    golden = manifest.golden
    if golden is None:
        return
    inputs, outputs = read_golden(source.artefact.parent / golden.path)
    absent = [spec.name for spec in signature.inputs if spec.name not in inputs]
    if absent:
        raise _wrong(source, f"the samples have no input {absent[0]!r}")
    rows = len(next(iter(inputs.values())))
    for count in dict.fromkeys((min(rows, limit), 1) if signature.batched else (rows,)):
        arrays: tuple[Array, ...] = tuple(inputs[spec.name][:count] for spec in signature.inputs)
        try:
            got = check_outputs(signature, backend.run(Batch(arrays, count)), count)
        except PenstockError as error:
            raise _wrong(source, f"the golden samples failed: {error}") from error
        for spec, array in zip(signature.outputs, got, strict=True):
            if spec.name in outputs:
                wanted = outputs[spec.name][:count]
                wrong = difference(array, wanted, golden.allowed(count == rows), golden.rtol)
                if wrong:
                    raise _wrong(source, f"on the golden samples output {spec.name!r} {wrong}")


def _wrong(source: BackendSource, problem: str) -> RepositoryError:
    return RepositoryError(
        path=str(source.artefact.parent / MANIFEST),
        field="golden",
        problem=problem,
        remedy=REMEDY,
    )
