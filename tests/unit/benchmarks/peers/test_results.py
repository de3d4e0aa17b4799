"""Results are a file at any time."""

from benchmarks.peers.results import read, write


def test_write_and_read_give_the_same(results, seen, loaded, tmp_path):
    file = tmp_path / "folder" / "peers.json"
    run = results(seen("litserve", loads=(loaded(doubts=("late",)),)))

    write(run, file)

    assert read(file) == run
    assert list(file.parent.iterdir()) == [file]
