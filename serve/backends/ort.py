"""ONNX Runtime; the only module that imports it."""

from __future__ import annotations

import hashlib
import logging
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime

from serve.backends.arena import ArenaTrim
from serve.backends.base import BackendSource
from serve.backends.load_errors import load_error
from serve.backends.onnx_types import DATATYPE_BY_TYPE
from serve.backends.providers import CPU, Device, choose_device, nvidia_device_present
from serve.backends.session_run import SessionRun, session_run
from serve.backends.signature import ArtefactTensor, reconcile, row_bytes, settings_file
from serve.backends.tensorrt import (
    CONTEXT,
    TENSORRT,
    ByRows,
    engine_for,
    provider_options,
    this_machine,
)
from serve.backends.thread_trial import faster_run
from serve.backends.threads import available_cores, threads_per_batch
from serve.backends.warmup import warmup_batch
from serve.errors import BackendError, RepositoryError
from serve.tensors import Array, Batch, Signature

__all__ = ["OnnxRuntimeBackend"]

logger = logging.getLogger("penstock.backend")

_TRIAL_ROWS = 32
_TRIAL_INPUT_BYTES = 16 * 1024 * 1024  # fewer rows where they are large
# Weights beyond this make a second session, for comparison, too dear; such models have large
# operators, which gain from threads.
_TRIAL_BYTES = 64 * 1024 * 1024

_LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


class OnnxRuntimeBackend:
    """Runs a ``model.onnx``, with weights inside or beside it, on CPU or CUDA."""

    def __init__(self) -> None:
        self._run: SessionRun | None = None
        self._trim = ArenaTrim()
        self._shrink: Any = None

    def load(self, source: BackendSource) -> Signature:
        """Open the model on the device and with the threads that its settings ask for."""
        device = choose_device(
            source.config.resources.device,
            available=onnxruntime.get_available_providers(),
            gpu_present=nvidia_device_present(),
            path=settings_file(source),
        )
        if device.provider != CPU:
            # Finds the CUDA libraries of pip packages, which are not on the loader's path.
            onnxruntime.preload_dlls()
        threads = threads_per_batch(source.config.resources, available_cores())
        on_trial = (
            source.config.resources.intra_op_threads is None
            and threads > 1
            and device.provider == CPU
            and _weight_bytes(source.artefact) <= _TRIAL_BYTES
        )
        session = _create_session(source, device, 1 if on_trial else threads)
        signature = reconcile(source, *_describe(source.artefact, session))
        run = _run_of(source, session, signature)
        if on_trial:
            run = _faster(source, device, signature, run, threads)
        self._run = run if device.provider == CPU else _with_engines(source, device, signature, run)
        on_cpu = session.get_providers()[0] == CPU
        self._shrink = onnxruntime.RunOptions()
        arenas = "cpu:0" if on_cpu else f"cpu:0;gpu:{device.index}"
        self._shrink.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
        return signature

    def run(self, batch: Batch) -> list[Array]:
        """Run one batch; whatever the runtime raises becomes a BackendError."""
        assert self._run is not None, "run before load, or after close"
        size = sum([array.size for array in batch.inputs])
        options = self._shrink if self._trim.due(size) else None
        try:
            return self._run(batch.inputs, options)
        except Exception as error:  # the runtime's classes have no base of their own
            raise BackendError(f"ONNX Runtime failed: {str(error)[:300]}") from error

    def platform(self) -> str:
        """The protocol's name for it."""
        return "onnxruntime_onnx"

    def close(self) -> None:
        """Free the session and its arenas."""
        self._run = None


def _with_engines(
    source: BackendSource, device: Device, signature: Signature, plain: SessionRun
) -> SessionRun:
    """``plain``, behind the TensorRT engines of this version, if it has any that fit here."""
    found = engine_for(
        source.artefact.parent,
        partial(_sha256, source.artefact),
        partial(this_machine, device.index, onnxruntime.__version__),
        onnxruntime.get_available_providers(),
        source.verified,
    )
    if isinstance(found, str):
        if found:
            logger.warning(
                "%s/%d: its TensorRT engines are not used, CUDA runs the graph: %s (to build them"
                " for this machine, run `penstock optimize` on it)",
                source.model_name,
                source.version,
                found,
            )
        return plain
    folder, target = found
    engines = []
    for each in target.classes:
        options = provider_options(folder, each, device.index)
        providers = [(TENSORRT, options), *device.providers()]
        context = folder / each.folder / CONTEXT
        try:
            session = onnxruntime.InferenceSession(
                str(context), _options(source, 1), providers=providers, enable_fallback=0
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the graph itself can be served
            logger.warning("%s: %s cannot be opened: %s", source.model_name, context, error)
            continue
        if session.get_providers()[0] != TENSORRT:
            logger.warning("%s: the TensorRT provider did not start", source.model_name)
            return plain
        engines.append((each, _run_of(source, session, signature)))
    return ByRows(engines, [spec.name for spec in signature.inputs], plain)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _options(source: BackendSource, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    level = source.config.resources.graph_optimization or "all"
    options.graph_optimization_level = _LEVELS[level]
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A pool that spins while it waits takes the cores from the requests it waits for.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Planning each shape as one block is no faster here, and holds a third more memory.
    options.enable_mem_pattern = False
    # Errors only: the runtime warns of a mis-declared output shape on each batch, and shapes are
    # checked by output_check.
    options.log_severity_level = 3
    options.logid = f"{source.model_name}/{source.version}"
    return options


def _create_session(source: BackendSource, device: Device, threads: int) -> Any:
    options = _options(source, threads)
    try:
        session = onnxruntime.InferenceSession(
            str(source.artefact), options, providers=device.providers(), enable_fallback=0
        )
    except Exception as error:
        raise load_error(source.artefact, error) from error
    # The runtime falls back to the CPU without an error when a provider cannot start.
    if session.get_providers()[0] != device.provider:
        if device.required:
            raise RepositoryError(
                path=settings_file(source),
                field="resources.device",
                problem=f"is {source.config.resources.device}, but the CUDA provider did not start"
                " (the runtime's own message is in the log)",
                remedy="install the CUDA and cuDNN versions that this onnxruntime-gpu needs, name"
                " a device that exists, or set device to auto or cpu",
            )
        logger.warning("%s: the CUDA provider did not start; using the CPU", source.model_name)
    return session


def _run_of(source: BackendSource, session: Any, signature: Signature) -> SessionRun:
    try:
        return session_run(session, signature, session.get_providers()[0] == CPU)
    except ValueError as error:
        raise RepositoryError(
            path=str(source.artefact),
            problem=str(error),
            remedy="cast BF16 inputs and outputs to FP32 inside the graph",
        ) from error


def _faster(
    source: BackendSource, device: Device, signature: Signature, single: SessionRun, threads: int
) -> SessionRun:
    """``single``, or a run with several threads, whichever serves better."""

    def several() -> SessionRun:
        return _run_of(source, _create_session(source, device, threads), signature)

    if any(-1 in spec.shape[signature.batched :] for spec in signature.inputs):
        return several()  # the length of real rows is not known, so a trial would say nothing
    fitting = _TRIAL_INPUT_BYTES // max(1, sum(map(row_bytes, signature.inputs)))
    limit = source.config.batching.max_batch_size or _TRIAL_ROWS
    batch = warmup_batch(signature, source.config, max(1, min(limit, fitting, _TRIAL_ROWS)))
    return faster_run(batch.inputs, single, several)


def _describe(artefact: Path, session: Any) -> tuple[list[ArtefactTensor], list[ArtefactTensor]]:
    return (
        [_describe_tensor(artefact, "input", argument) for argument in session.get_inputs()],
        [_describe_tensor(artefact, "output", argument) for argument in session.get_outputs()],
    )


def _describe_tensor(artefact: Path, kind: str, argument: Any) -> ArtefactTensor:
    datatype = DATATYPE_BY_TYPE.get(argument.type)
    if datatype is None:
        raise RepositoryError(
            path=str(artefact),
            problem=f"{kind} {argument.name!r} is a {argument.type}, which the protocol has no"
            " datatype for",
            remedy="export it as plain tensors (for scikit-learn models: zipmap=False)",
        )
    # The runtime gives [] both for a scalar and where it knows no shape: the settings decide.
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return ArtefactTensor(argument.name, datatype, shape or None)


def _weight_bytes(artefact: Path) -> int:
    """Bytes of the model and of every file beside it: external weights have any name."""
    try:
        return sum(file.stat().st_size for file in artefact.parent.iterdir() if file.is_file())
    except OSError:
        return 0  # the runtime is about to say what is wrong with the file
