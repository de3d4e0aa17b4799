from serve.protocol.quoting import quoted, shown_int


def test_quoted_keeps_short_text():
    assert quoted("x") == "'x'"


def test_quoted_shortens_and_escapes_when_text_is_hostile():
    shown = quoted("\n" + "a" * 10**6)
    assert shown.startswith(r"'\naaa")
    assert shown.endswith("... (1000001 characters)")
    assert len(shown) < 100


def test_shown_int_does_not_write_out_huge_numbers():
    assert shown_int(-5) == "-5"
    assert shown_int(10**10000) == "an integer beyond 64 bits"
