"""The networks that learn: small ones of our own, fewer layers of the teacher, or the user's."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from optimize.errors import OptimizeError

__all__ = ["cnn", "fewer_layers", "mlp", "own"]

KERNEL = 3
POOLED_FROM = 4
"""An image of fewer rows or columns is not halved further."""


def mlp(width: int, hidden: Sequence[int], size: int) -> nn.Module:
    """A perceptron from prepared rows [rows, width] to raw answers [rows, size]."""
    layers: list[nn.Module] = []
    for count in hidden:
        layers += [nn.Linear(width, count), nn.ReLU()]
        width = count
    return nn.Sequential(*layers, nn.Linear(width, size))


def cnn(image_shape: Sequence[int], channels: Sequence[int], width: int, size: int) -> nn.Module:
    """Convolutions over prepared rows that are images end to end, halved after each, and a layer.

    Raises:
        OptimizeError: ``image_shape`` is not [rows, columns] or [colours, rows, columns], or not
            of ``width`` numbers.
    """
    if len(image_shape) not in (2, 3) or math.prod(image_shape) != width:
        raise OptimizeError(
            step="distil",
            problem=f"image_shape is {list(image_shape)}, and a row has {width} numbers",
            remedy="give [rows, columns] or [colours, rows, columns] of an image",
        )
    colours, rows, columns = (1, *image_shape)[-3:]
    layers: list[nn.Module] = [nn.Unflatten(1, (colours, rows, columns))]
    for count in channels:
        layers += [nn.Conv2d(colours, count, KERNEL, padding=KERNEL // 2), nn.ReLU()]
        colours = count
        if min(rows, columns) >= POOLED_FROM:
            layers.append(nn.MaxPool2d(2))
            rows, columns = rows // 2, columns // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(colours * rows * columns, size))


def fewer_layers(teacher: nn.Module, keep: Sequence[int], count: int | None) -> nn.Module:
    """A copy of the teacher that has some of the layers of its longest list of like layers.

    Its embedding tables stay the teacher's: they are most of the weights, and fit both.

    Args:
        teacher: any module with an ``nn.ModuleList`` of layers, such as a transformer.
        keep: which layers, or none: ``count`` of them, spread evenly from first to last.

    Raises:
        OptimizeError: it has no such list, or not such layers.
    """
    student = copy.deepcopy(teacher)
    lists = [(name, module) for name, module in student.named_modules() if _like_layers(module)]
    if not lists:
        raise OptimizeError(
            step="distil",
            problem=f"{type(teacher).__name__} has no list of like layers to keep some of",
            remedy="use student: mlp, or file.py:function that returns a network of your own",
        )
    name, layers = max(lists, key=lambda each: len(each[1]))
    there = len(layers)
    if not keep:
        count = count or (there + 1) // 2
        keep = [round(index * (there - 1) / max(count - 1, 1)) for index in range(count)]
    if not keep or min(keep) < 0 or max(keep) >= there or len(set(keep)) != len(keep):
        raise OptimizeError(
            step="distil",
            problem=f"layers {list(keep)} cannot be kept of {name}, which has {there}",
            remedy=f"name different layers from 0 to {there - 1} in keep, or give count",
        )
    owner, _, last = name.rpartition(".")
    kept = nn.ModuleList(layers[index] for index in sorted(keep))
    setattr(student.get_submodule(owner), last, kept)
    for module in student.modules():
        settings: Any = getattr(module, "config", None)
        if getattr(settings, "num_hidden_layers", None) == there:
            settings.num_hidden_layers = len(kept)
    for module in student.modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(not isinstance(module, nn.Embedding))
    return student


def own(function: Callable[[int, int], nn.Module], width: int, size: int) -> nn.Module:
    """What the user's function makes for rows [rows, width] and raw answers [rows, size].

    Raises:
        OptimizeError: it is no network, or does not answer in that shape.
    """
    student = function(width, size)
    shape: object = type(student).__name__
    if isinstance(student, nn.Module):
        with torch.no_grad():
            answer: Tensor = student(torch.zeros(2, width))
        shape = list(answer.shape)
    if shape != [2, size]:
        raise OptimizeError(
            step="distil",
            problem=f"the student of your function gives {shape} for two rows",
            remedy=f"return an nn.Module that gives [rows, {size}] for [rows, {width}]",
        )
    return student


def _like_layers(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.ModuleList)
        and len(module) > 1
        and len({type(layer) for layer in module}) == 1
    )
