"""Loads: made up, and from files that people write."""

import pytest

from benchmarks.autoscaling.trace import made, read_csv


def test_made_loads_go_from_their_base_to_their_peak():
    assert set(made("steady", 9, 1).rates) == {9}
    daily = made("daily", 900, 100)
    assert (len(daily.rates), daily.peak_per_s, min(daily.rates)) == (86_400, 900, 100)
    assert (daily.rates.index(900), daily.rates.index(100)) == (16 * 3600, 4 * 3600)
    burst = made("burst", 50, 0)
    assert (burst.rates[599], burst.rates[600], burst.rates[1199], burst.rates[1200]) == (
        0,
        50,
        50,
        0,
    )
    assert burst.asked == 50 * (600 + 20 + 20)


@pytest.mark.parametrize(("peak", "base"), [(0, 0), (5, 6), (5, -1), (float("nan"), 0)])
def test_rates_that_make_no_load_are_refused(peak, base):
    with pytest.raises(ValueError, match="--peak"):
        made("daily", peak, base)


def test_csv_holds_each_rate_until_the_next_line(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("seconds,per_s\n100,5\n102,7.5\n\n105,0\n")
    trace = read_csv(path)
    assert (trace.name, trace.rates) == ("mine.csv", (5, 5, 7.5, 7.5, 7.5))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0,5\n", "two lines"),
        ("0,5\n0,6\n", ":2: the seconds must rise"),
        ("0,5\nx,6\n", ":2: 'x,6' is not"),
        ("0,5\n9\n", ":2: '9' is not"),
        ("0,5\n9,-1\n", "0 or more"),
        ("0,nan\n9,1\n", "0 or more"),
        ("0,0\n9,0\n", "all rates are 0"),
        ("0,1\n99999999,0\n", "give it 1 s to"),
        ("0,1\n0.2,0\n", "give it 1 s to"),
    ],
)
def test_csv_that_is_wrong_is_told_with_its_line(tmp_path, text, problem):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_csv(path)


def test_csv_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match="can be read"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="can be read"):
        read_csv(tmp_path / "binary.csv")
