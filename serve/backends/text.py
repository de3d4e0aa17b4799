"""Text in: a tokenizer before any other backend, once per batch.

The inner backend takes token ids; callers send BYTES. A batch is cut into runs of about equal
lengths where that saves more padding than a further run costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from serve.backends.base import Backend, BackendSource
from serve.backends.signature import ArtefactTensor, reconcile, settings_file
from serve.backends.text_groups import groups_of_lengths
from serve.backends.tokenizer import COLUMNS, IDS, Encoding, TextEncoder, read_tokenizer
from serve.backends.warmup import warmup_batch
from serve.config import ModelConfig, Tokenizer
from serve.errors import BackendError, RepositoryError
from serve.tensors import DATATYPES, Array, Batch, Signature

__all__ = ["TextBackend", "taking_text", "tokenizer_file"]

TEXT = 0
"""Place of the text among a batch's inputs."""
ONE_TEXT = ((-1, 1), (-1,))
"""Shapes of the text input: as Triton batches a string, and without the inner dimension."""


def taking_text(inner: Backend, config: ModelConfig) -> Backend:
    """The backend itself, or with a tokenizer before it if the settings ask for one."""
    return inner if config.tokenizer is None else TextBackend(inner)


def tokenizer_file(source: BackendSource, setting: Tokenizer) -> Path:
    """The tokenizer of a version: in its own folder, else in the model's.

    Raises:
        RepositoryError: it is in neither.
    """
    for folder in (source.artefact.parent, source.folder):
        path = folder / setting.file
        if path.is_file():
            return path
    raise RepositoryError(
        path=settings_file(source),
        field="tokenizer.file",
        problem=f"there is no {setting.file} in {source.artefact.parent}, nor in {source.folder}",
        remedy="put the file that the `tokenizers` library saved beside the model",
    )


class TextBackend:
    """Runs a model of token ids on texts."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner
        self._encoder: TextEncoder | None = None
        # Of each input of the graph: a column of the tokens, or the number of the batch's input.
        self._feeds: list[tuple[str, int]] = []
        self._dtypes: list[np.dtype[np.generic]] = []

    def load(self, source: BackendSource) -> Signature:
        """Load both; run a text of the greatest length, as the proof that they fit together."""
        setting = source.config.tokenizer
        assert setting is not None
        path = tokenizer_file(source, setting)
        self._encoder = TextEncoder(read_tokenizer(path), setting.max_length, str(path))
        inputs = {k: v for k, v in source.config.inputs.items() if k != setting.input}
        config = source.config.model_copy(update={"inputs": inputs, "tokenizer": None})
        graph = self._inner.load(replace(source, config=config))
        signature = self._signature(source, setting, graph)
        self._prove(source, signature)
        return signature

    def run(self, batch: Batch) -> list[Array]:
        """See ``Backend``."""
        assert self._encoder is not None
        texts = [item.decode("utf-8", "replace") for item in batch.inputs[TEXT].ravel()]
        encoded = self._encoder.encode(texts)
        lengths = [len(each.ids) for each in encoded]
        groups = groups_of_lengths(lengths)
        if len(groups) == 1:
            return self._inner.run(Batch(self._feed(encoded, batch.inputs), batch.rows))
        parts = []
        for rows in groups:
            inputs = tuple(array[rows] for array in batch.inputs)
            arrays = self._feed([encoded[row] for row in rows], inputs)
            parts.append(self._inner.run(Batch(arrays, len(rows))))
        # Back into the order in which the rows came.
        order = np.argsort(np.concatenate(groups))
        return [np.concatenate(pieces)[order] for pieces in zip(*parts, strict=True)]

    def platform(self) -> str:
        """The protocol's name of what runs the graph."""
        return self._inner.platform()

    def close(self) -> None:
        """See ``Backend``."""
        self._inner.close()

    def _feed(self, encoded: Sequence[Encoding], inputs: Sequence[Array]) -> tuple[Array, ...]:
        """What the graph takes, in its order."""
        assert self._encoder is not None
        columns = self._encoder.columns(encoded, [name for name, _ in self._feeds if name])
        return tuple(
            (columns[name] if name else inputs[place]).astype(dtype, copy=False)
            for (name, place), dtype in zip(self._feeds, self._dtypes, strict=True)
        )

    def _signature(self, source: BackendSource, setting: Tokenizer, graph: Signature) -> Signature:
        """The graph's signature, with one text in place of its tokens."""
        names = [spec.name for spec in graph.inputs]
        if IDS not in names or not graph.batched:
            raise RepositoryError(
                path=str(source.artefact),
                problem=f"takes no batch of {IDS!r}; it has: {', '.join(names)}",
                remedy=f"export it with inputs {', '.join(COLUMNS[:2])} of [batch, tokens], both"
                " variable, or leave `tokenizer` out of model.yaml",
            )
        for spec in graph.outputs:
            if -1 in spec.shape[1:]:
                raise RepositoryError(
                    path=str(source.artefact),
                    problem=f"output {spec.name!r} has shape {list(spec.shape)}: as long as the"
                    " longest text of a batch, which a caller cannot know",
                    remedy="pool over the tokens inside the graph",
                )
        declared = source.config.inputs.get(setting.input)
        shape = declared.shape if declared is not None and declared.shape else ONE_TEXT[0]
        if shape not in ONE_TEXT:
            raise RepositoryError(
                path=settings_file(source),
                field=f"inputs.{setting.input}.shape",
                problem=f"is {list(shape)}, but the tokenizer takes one text a row",
                remedy="set it to [-1, 1] or [-1], or leave it out",
            )
        others = [spec for spec in graph.inputs if spec.name not in COLUMNS]
        tensors = [ArtefactTensor(setting.input, "BYTES", shape)]
        tensors += [ArtefactTensor(each.name, each.datatype, each.shape) for each in others]
        outputs = [ArtefactTensor(each.name, each.datatype, each.shape) for each in graph.outputs]
        places = {each.name: index for index, each in enumerate(tensors)}
        self._feeds = [(name if name in COLUMNS else "", places.get(name, -1)) for name in names]
        self._dtypes = [DATATYPES[spec.datatype].dtype for spec in graph.inputs]
        return reconcile(source, tensors, outputs)

    def _prove(self, source: BackendSource, signature: Signature) -> None:
        encoder = self._encoder
        assert encoder is not None
        batch = warmup_batch(signature, source.config, 1)
        batch.inputs[TEXT].fill(b"a " * encoder.max_length)
        try:
            self.run(batch)
        except BackendError as error:
            raise RepositoryError(
                path=settings_file(source),
                field="tokenizer.max_length",
                problem=f"a text of {encoder.max_length} tokens fails: {error}",
                remedy="set it to what the graph's positions allow, and take the tokenizer that"
                " the model was trained with",
            ) from error
