"""torch, for programs that AOTInductor compiled: ``model.pt2``; only torch backends import it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch._C._aoti import AOTIModelPackageLoader

from serve.backends.base import BackendSource
from serve.backends.cuda_graphs import GraphRun, capture, graph_sizes
from serve.backends.pt2_file import (
    COMPILE_AGAIN,
    PACKAGED_NAME,
    Pt2Info,
    Pt2Signature,
    Pt2Tensor,
    cpu_flags,
    machine_problem,
    read_pt2,
)
from serve.backends.pt2_inputs import InputCheck, signature_of_specs
from serve.backends.signature import (
    ArtefactTensor,
    declared_signature,
    reconcile,
    settings_file,
)
from serve.backends.threads import available_cores, threads_per_batch
from serve.backends.torch_tensors import TORCH_DTYPES, to_numpy, to_tensor
from serve.errors import BackendError, RepositoryError
from serve.tensors import Array, Batch, Signature

__all__ = ["TorchBackend"]

logger = logging.getLogger("penstock.backend")

Tensors = list[torch.Tensor]


class TorchBackend:
    """Runs a ``model.pt2``: native code that was compiled for this kind of machine.

    It is loaded only if the version's manifest vouches for its contents, or model.yaml says that
    it may be without. What reaches it is checked first, because it checks nothing itself.
    """

    def __init__(self) -> None:
        self._run: Callable[[Tensors], Tensors] | None = None
        self._check: Callable[[Sequence[Array]], None] = lambda arrays: None
        self._inputs: list[str] = []
        self._outputs: list[tuple[str, str]] = []
        self._threads = 1

    def load(self, source: BackendSource) -> Signature:
        """Load the program on the device it was compiled for."""
        _vouched_for(source)
        info = read_pt2(source.artefact)
        problem = machine_problem(info, torch.__version__, cpu_flags())
        if problem:
            raise RepositoryError(path=str(source.artefact), problem=problem, remedy=COMPILE_AGAIN)
        device = _device(source, info)
        signature, program = _signatures(source, info)
        self._threads = threads_per_batch(source.config.resources, available_cores())
        self._inputs = [spec.datatype for spec in signature.inputs]
        self._outputs = [(spec.name, spec.datatype) for spec in signature.outputs]
        self._check = InputCheck(program)
        if device.type == "cuda":
            self._run = _on_cuda(source, device, signature)
        else:
            self._run = _loaded(source, device, single_threaded=False).boxed_run
        return signature

    def run(self, batch: Batch) -> list[Array]:
        """Run one batch; whatever torch raises becomes a BackendError."""
        assert self._run is not None, "run before load, or after close"
        self._check(batch.inputs)
        tensors = [to_tensor(a, d) for a, d in zip(batch.inputs, self._inputs, strict=True)]
        if torch.get_num_threads() != self._threads:  # each thread of the server has its own
            torch.set_num_threads(self._threads)
        try:
            outputs = self._run(list(tensors))
        except Exception as error:  # torch raises RuntimeError, with the C++ stack in its text
            raise BackendError(f"torch failed: {_first_line(error)}") from error
        lent = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        if len(outputs) != len(self._outputs):
            raise BackendError(
                f"the program gave {len(outputs)} outputs in place of {len(self._outputs)}"
            )
        return [
            _owned(name, datatype, tensor, lent)
            for (name, datatype), tensor in zip(self._outputs, outputs, strict=True)
        ]

    def platform(self) -> str:
        """The protocol's name for it, which is Triton's."""
        return "torch_aoti"

    def close(self) -> None:
        """Free the program, its weights and its graphs."""
        self._run = None


def _vouched_for(source: BackendSource) -> None:
    if source.verified or source.config.trust_native_code:
        return
    raise RepositoryError(
        path=str(source.artefact),
        problem="is native code, which would run with the server's rights, and no manifest.json"
        " beside it has its checksum",
        remedy="serve a version that `penstock optimize` made; or, if you know who made this file,"
        f" set `trust_native_code: true` in {settings_file(source)}",
    )


def _device(source: BackendSource, info: Pt2Info) -> torch.device:
    """The device of the program; the settings may choose which GPU, and may not contradict it."""
    setting = source.config.resources.device
    kind, _, index = setting.partition(":")
    if kind not in ("auto", info.device):
        raise RepositoryError(
            path=settings_file(source),
            field="resources.device",
            problem=f"is {setting}, but {source.artefact.name} was compiled for {info.device}",
            remedy=f"set it to auto or {info.device}, or optimize with target.device: {kind}",
        )
    if info.device == "cpu":
        return torch.device("cpu")
    problem = ""
    number = int(index or 0)
    if info.device != "cuda":
        problem = f"was compiled for {info.device}, which is not served"
    elif not torch.cuda.is_available():
        problem = "was compiled for CUDA, and torch finds no GPU (or is built without CUDA)"
    elif number >= torch.cuda.device_count():
        problem = f"is to run on {setting}, and there are {torch.cuda.device_count()} GPUs"
    else:
        here = "".join(map(str, torch.cuda.get_device_capability(number)))
        if info.compute_capability and info.compute_capability != here:
            problem = f"was compiled for compute capability {info.compute_capability}, not {here}"
    if problem:
        raise RepositoryError(path=str(source.artefact), problem=problem, remedy=COMPILE_AGAIN)
    return torch.device("cuda", number)


def _signatures(source: BackendSource, info: Pt2Info) -> tuple[Signature, Pt2Signature]:
    """What callers see, and what the program takes."""
    if info.signature is None:
        signature = declared_signature(source)
        program = signature_of_specs(signature.inputs, signature.outputs)
    else:
        program = info.signature
        signature = reconcile(
            source,
            [_described(tensor) for tensor in program.inputs],
            [_described(tensor) for tensor in program.outputs],
        )
    for spec in (*signature.inputs, *signature.outputs):
        if spec.datatype not in TORCH_DTYPES:
            raise RepositoryError(
                path=settings_file(source),
                problem=f"{spec.name!r} is {spec.datatype}, which torch has no tensors of",
                remedy="turn text into numbers before the model, in a model.py",
            )
    low, high = program.ranges.get(_batch_word(program), (0, None))
    limit = source.config.batching.max_batch_size
    if signature.batched and (low > 1 or (high is not None and (limit or 1) > high)):
        raise RepositoryError(
            path=str(source.artefact),
            problem=f"takes batches of {low} to {high or 'any number of'} rows",
            remedy="export it with torch.export.Dim('batch', min=1, max=...) for its first"
            " dimension, or lower batching.max_batch_size",
        )
    return signature, program


def _described(tensor: Pt2Tensor) -> ArtefactTensor:
    shape = tuple(-1 if isinstance(size, str) else size for size in tensor.shape)
    return ArtefactTensor(tensor.name, tensor.datatype, shape)


def _batch_word(program: Pt2Signature) -> str:
    shape = program.inputs[0].shape
    return str(shape[0]) if shape else ""


def _loaded(source: BackendSource, device: torch.device, *, single_threaded: bool) -> Any:
    # Not torch's load_package: it compares the machine with the package, as `machine_problem` has,
    # but runs a C++ compiler six times to know it: 7 s, or 1.3 s where it had done so before.
    try:
        return AOTIModelPackageLoader(
            str(source.artefact),
            PACKAGED_NAME,
            single_threaded,
            1 if single_threaded else source.config.resources.instances,
            -1 if device.index is None else device.index,
        )
    except Exception as error:
        raise RepositoryError(
            path=str(source.artefact),
            problem=f"torch refused it: {_first_line(error)}",
            remedy="see that the folder for temporary files allows programs to be run from it; "
            + COMPILE_AGAIN,
        ) from error


def _on_cuda(
    source: BackendSource, device: torch.device, signature: Signature
) -> Callable[[Tensors], Tensors]:
    """The program between host memory and a GPU, through CUDA graphs where rows have one shape."""
    try:
        sizes = graph_sizes(
            source.config.parameters.get("cuda_graphs", ""),
            source.config.batching.preferred_batch_sizes,
            source.config.batching.max_batch_size,
        )
    except ValueError as error:
        raise RepositoryError(
            path=settings_file(source),
            field="parameters.cuda_graphs",
            problem=str(error),
            remedy="set it to off, or to batch sizes as in `1,8,32`, or leave it out",
        ) from error
    fixed = not any(-1 in spec.shape[1:] for spec in signature.inputs)
    sizes = sizes if signature.batched and fixed else []
    loader = _loaded(source, device, single_threaded=bool(sizes))
    plain = partial(_plain_on_cuda, loader.boxed_run, device)
    captured = {}
    for size in reversed(sizes):  # the largest first, whose memory the others then share
        inputs = [
            torch.zeros((size, *spec.shape[1:]), dtype=TORCH_DTYPES[spec.datatype], device=device)
            for spec in signature.inputs
        ]
        try:
            with torch.cuda.device(device):
                captured[size] = capture(loader.boxed_run, inputs)
        except RuntimeError as error:
            logger.warning(
                "%s: no CUDA graph of %d rows, which will be run op by op: %s",
                source.model_name,
                size,
                _first_line(error),
            )
            break
    if sizes and not captured:
        loader = _loaded(source, device, single_threaded=False)
        return partial(_plain_on_cuda, loader.boxed_run, device)
    # A program that may be captured is loaded for one thread at a time, graphs or not.
    return GraphRun(captured, plain) if captured else plain


def _plain_on_cuda(
    run: Callable[[Tensors], Tensors], device: torch.device, tensors: Tensors
) -> Tensors:
    with torch.cuda.device(device):
        return [output.to("cpu") for output in run([tensor.to(device) for tensor in tensors])]


def _owned(name: str, datatype: str, tensor: torch.Tensor, lent: set[int]) -> Array:
    """An output as an array that shares no memory with the batch, which is its caller's."""
    if tensor.untyped_storage().data_ptr() in lent:
        tensor = tensor.clone()
    try:
        return to_numpy(tensor, datatype)
    except ValueError as error:
        raise BackendError(f"output {name!r} {error}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
