"""Every kind of error has a status in both protocols."""

from __future__ import annotations

import grpc
import pytest

from serve.errors import Code
from serve.protocol.status import DEFAULT, TRITON, StatusTable


@pytest.mark.parametrize("table", [DEFAULT, TRITON])
def test_every_code_has_a_status(table: StatusTable) -> None:
    assert set(table.http) == set(table.grpc) == set(Code)
    assert all(400 <= status < 600 for status in table.http.values())
    assert all(hasattr(grpc.StatusCode, name) for name in table.grpc.values())


def test_tritons_own_choice_differs_where_the_documentation_says_so() -> None:
    differs = {code for code in Code if DEFAULT.http[code] != TRITON.http[code]}
    assert differs == {Code.TOO_LARGE, Code.DEADLINE_EXCEEDED, Code.CANCELLED}
