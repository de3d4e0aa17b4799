"""Samples reach a server, and LoadGen gets every one of them back."""

import threading
from dataclasses import dataclass

import msgspec
import pytest

from benchmarks.loadgen.spec import Target
from benchmarks.mlperf.sut import System
from benchmarks.process import free_port


@dataclass
class Sample:
    """LoadGen's, as far as it is looked at."""

    id: int
    index: int


class Completed:
    """Collects ids until so many are there."""

    def __init__(self, count):
        self.ids = []
        self._count = count
        self.all = threading.Event()

    def __call__(self, identities):
        self.ids.extend(identities)
        if len(self.ids) >= self._count:
            self.all.set()


def answered(spec, samples):
    completed = Completed(len(samples))
    system = System(spec, completed)
    system.start()
    system.issue(samples)
    completed.all.wait(30)
    system.stop()
    return sorted(completed.ids), system.failed


def test_system_gives_every_sample_back_with_more_samples_than_connections(spec):
    samples = [Sample(id=1000 + number, index=number) for number in range(50)]

    assert answered(spec(), samples) == ([sample.id for sample in samples], 0)


def test_system_gives_refused_samples_back_and_counts_them(spec):
    samples = [Sample(id=number, index=0) for number in range(10)]

    assert answered(spec("nosuch"), samples) == (list(range(10)), 10)


def test_system_says_when_the_server_cannot_be_reached(spec):
    closed = msgspec.structs.replace(spec(), target=Target(port=free_port()))

    with pytest.raises(OSError, match="refused"):
        System(closed, lambda identities: None).start()
