"""The last run's table goes into the page, and nothing else of the page changes."""

import pytest

from benchmarks.peers.publish import BEGIN, END, insert, main
from benchmarks.peers.results import write


def test_insert_replaces_what_is_between_the_marks():
    page = f"# Peers\n\n{BEGIN}\n\nold\n\n{END}\n\nmore\n"

    assert insert(page, "new\n") == f"# Peers\n\n{BEGIN}\n\nnew\n\n{END}\n\nmore\n"


def test_insert_refuses_a_page_without_marks():
    with pytest.raises(ValueError, match="no <!-- figures"):
        insert("# Peers", "new")


def test_publish_writes_the_table_of_the_results(results, seen, tmp_path):
    write(results(seen("penstock")), tmp_path / "peers.json")
    page = tmp_path / "peers.md"
    page.write_text(f"{BEGIN}{END}")

    main(["--results", str(tmp_path / "peers.json"), "--page", str(page)])

    assert "### `mlp`" in page.read_text()
