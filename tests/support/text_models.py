"""A small model of texts: a tokenizer of whole words, and a graph that averages their vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.support.onnx_models import save, value

__all__ = ["WORDS", "embedder", "tokenizer", "vectors"]

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "größe", "日本")
SIZE = 4


def tokenizer(path: Path, pad_direction: str | None = None) -> None:
    """Write a ``tokenizer.json`` of ``WORDS``, with [CLS] and [SEP] around every text."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    made = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    if pad_direction is not None:
        made.enable_padding(direction=pad_direction, pad_id=0, length=16)
    made.save(str(path))


def vectors() -> np.ndarray:
    """The vector of each word."""
    return np.random.default_rng(1).normal(0, 1, (len(WORDS), SIZE)).astype(np.float32)


def embedder(
    path: Path, pooled: bool = True, ids: str = "input_ids", positions: int | None = None
) -> None:
    """Write a graph from ids and mask [batch, tokens] to ``embedding`` [batch, 4], their mean.

    ``positions``: the most tokens that it takes. Not ``pooled``: [batch, tokens, 4].
    """
    constants = {"words": vectors(), "axes": np.array([1]), "last": np.array([2])}
    nodes = [helper.make_node("Gather", ["words", ids], ["each"])]
    if positions is not None:
        constants |= {"places": np.zeros((positions, 1), np.float32)}
        constants |= {"zero": np.array(0), "one": np.array(1)}
        nodes += [
            helper.make_node("Shape", [ids], ["tokens"], start=1, end=2),
            helper.make_node("Squeeze", ["tokens"], ["length"]),
            helper.make_node("Range", ["zero", "length", "one"], ["range"]),
            helper.make_node("Gather", ["places", "range"], ["looked"]),
            helper.make_node("Add", ["each", "looked"], ["placed"]),
        ]
    nodes += [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", [nodes[-1].output[0], "wide"], ["real"]),
        helper.make_node("ReduceSum", ["real", "axes"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "axes"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Identity", ["mean" if pooled else "real"], ["embedding"]),
    ]
    shape: list[int | str | None] = ["batch", SIZE] if pooled else ["batch", "tokens", SIZE]
    inputs = [value(name, "INT64", ["batch", "tokens"]) for name in (ids, "attention_mask")]
    save(path, nodes, inputs, [value("embedding", "FP32", shape)], constants)
