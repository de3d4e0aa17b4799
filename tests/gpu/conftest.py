"""GPU tests run where a CUDA session really starts, and say why they are skipped elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.absent import why_no_cuda


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_cuda()
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
