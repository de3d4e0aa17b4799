"""The table shows everybody, failed ones too, and says who is ahead."""

import pytest

from benchmarks.peers.table import render


@pytest.fixture
def text(results, seen, loaded):
    """The table of Penstock and one more visit."""

    def make(other, **fields):
        own = seen("penstock", loads=(loaded(), loaded("open-100")))
        return render(results(own, other, **fields))

    return make


def test_table_has_a_line_for_each_row(text, seen, loaded):
    shown = text(seen("litserve", loads=(loaded(ok_per_s=750.0, p99_ms=80.2, cpu_us=990.0),)))

    assert "| 1,000 / 5.0 / 50 | 5.0 | 100 | 1.0 |" in shown
    assert "750 / 80.2 / 990" in shown
    assert "Measured today on 2 cores of a CPU" in shown


def test_table_shows_a_failed_row_with_its_reason(text, seen):
    shown = text(seen("litserve", failure="StartError: no | module\n named x"))

    assert "quick start: one worker, no batches | failed |" in shown
    assert "- litserve default: 1 of 1 visits failed: StartError: no \\| module named x" in shown


def test_table_says_where_a_peer_is_ahead(text, seen, loaded):
    shown = text(seen("litserve", memory_mib=90.0, loads=(loaded(ok_per_s=9.0),)))

    assert "**Where a peer is ahead of Penstock:**" in shown
    assert "- litserve default: memory (MiB) 90.0, Penstock 100.0" in shown


def test_table_says_when_no_peer_is_ahead(text, seen, loaded):
    assert "No peer is ahead" in text(seen("litserve", loads=(loaded(),)))


def test_table_says_that_a_rate_was_not_kept(text, seen, loaded):
    late = loaded("open-100", kept=False, p99_ms=1810.0)

    assert "| not kept: 1,810.0 |" in text(seen("litserve", loads=(late,)))


def test_table_counts_requests_that_were_not_answered_well(text, seen, loaded):
    assert "(7 not answered well)" in text(seen("litserve", loads=(loaded(not_ok=7),)))


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"foreign_share": 0.5}, "Others used 25% of the machine"),
        ({"doubts": ("late",)}, "| 1,000 / 5.0 / 50 † |"),
    ],
)
def test_table_says_what_makes_figures_doubtful(results, seen, loaded, figures, words):
    visits = seen("penstock", loads=(loaded(),)), seen("litserve", loads=(loaded(**figures),))

    assert words in render(results(*visits))


def test_table_says_that_a_run_is_partial(text, seen):
    assert "**Partial" in text(seen("litserve"), complete=False)


def test_table_says_nothing_of_who_is_ahead_when_penstock_failed(results, seen):
    assert "Penstock was not measured" in render(results(seen("penstock", failure="no port")))
