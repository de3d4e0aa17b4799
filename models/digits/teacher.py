"""The network that students of digits learn from: larger than what anybody would serve."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import torch
import train
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Reader", "teacher", "training", "transfer"]

SIDE = 8
SEED = 20
EPOCHS = 12
BATCH_IMAGES = 64
LEARNING_RATE = 2e-3
TURNS = 4
"""Altered copies of each image to learn from."""

Images = npt.NDArray[np.float32]


class Reader(nn.Module):
    """Two stages of convolutions, twice over, whose probabilities are averaged.

    ``image`` FP32 [batch, 64], 0 to 16, gives ``probabilities`` FP32 [batch, 10] and ``digit``
    INT64 [batch].
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers = nn.ModuleList([_reader(), _reader()])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        pixels = image.reshape(-1, 1, SIDE, SIDE) / train.BRIGHTEST
        each = [functional.softmax(reader(pixels), dim=1) for reader in self.readers]
        probabilities = torch.stack(each).mean(0)
        return {"probabilities": probabilities, "digit": probabilities.argmax(1)}


def _reader() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(48 * 2 * 2, 96),
        nn.ReLU(),
        nn.Linear(96, train.CLASSES),
    )


@cache
def teacher() -> Reader:
    """For ``penstock optimize``: the network, trained in seconds on a CPU."""
    # Its steps are over before a second thread has begun; and one adds in the same order anywhere.
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    images, _, digits, _ = train.parts()
    seen = torch.from_numpy(np.concatenate([images, transfer()["image"]]))
    wanted = torch.from_numpy(np.concatenate([digits, np.tile(digits, TURNS)]).astype(np.int64))
    network = Reader()
    steps = EPOCHS * -(-len(seen) // BATCH_IMAGES)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(seen))
        for start in range(0, len(order), BATCH_IMAGES):
            index = order[start : start + BATCH_IMAGES]
            pixels = seen[index].reshape(-1, 1, SIDE, SIDE) / train.BRIGHTEST
            # Each reader learns by itself: an average of two that differ is better than either.
            loss = sum(
                (functional.cross_entropy(each(pixels), wanted[index]) for each in network.readers),
                torch.zeros(()),
            )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            rate.step()
    return network.eval()


def training() -> tuple[dict[str, Images], npt.NDArray[np.int64]]:
    """For ``distil``: the images that the network was trained on."""
    images, _, digits, _ = train.parts()
    return {"image": images}, digits


def transfer() -> dict[str, Images]:
    """For ``distil``: altered copies of them, moved by up to a pixel, their ink thinned or not."""
    images, _, _, _ = train.parts()
    chance = np.random.default_rng(SEED)
    return {"image": np.concatenate([_altered(images, chance) for _ in range(TURNS)])}


def _altered(images: Images, chance: np.random.Generator) -> Images:
    found = np.zeros((len(images), SIDE, SIDE), np.float32)
    square = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    down, right = chance.integers(0, 3, (2, len(images)))
    for index, (top, left) in enumerate(zip(down, right, strict=True)):
        found[index] = square[index, top : top + SIDE, left : left + SIDE]
    power = chance.uniform(0.7, 1.4, (len(images), 1, 1))
    altered: Images = ((found / train.BRIGHTEST) ** power * train.BRIGHTEST).astype(np.float32)
    return altered.reshape(-1, SIDE * SIDE)
