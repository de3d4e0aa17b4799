"""Profiler samples are charged to whoever caused them."""

import pytest

from benchmarks.profile_server import attribute, module_of, samples

LOOP = "thread (1): MainThread"


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("serve/gateway/dataplane.py", "serve.gateway.dataplane"),
        ("serve/protocol/__init__.py", "serve.protocol"),
        ("orjson/orjson.cpython-311-x86_64-linux-gnu.so", "orjson"),
        ("llhttp.c", "httptools"),
        ("stream.c", "uvloop"),
        ("object.h", "python"),
        ("libc.so.6", "python"),
        ("asyncio/events.py", "python"),
    ],
)
def test_module_of_names_our_modules_and_libraries(file, module):
    assert module_of(file) == module


def test_samples_keeps_the_loop_thread_only():
    lines = [
        f"{LOOP};f (serve/a.py:1);g (serve/b.py:2) 7\n",
        "thread (2): worker;f (serve/a.py:1) 90\n",
        "not a stack\n",
    ]

    assert list(samples(lines)) == [([("serve.a", "f:1"), ("serve.b", "g:2")], 7)]


def test_attribute_charges_the_interpreter_to_its_caller():
    frames = [("serve.a", "f:1"), ("serve.b", "g:2"), ("python", "malloc"), ("python", "0x7f")]

    assert attribute(frames) == ("serve.b", "g:2")


def test_attribute_tells_system_calls_of_the_sockets_apart():
    frames = [("uvloop", "uv_run:4"), ("uvloop", "uv__read:1063"), ("python", "read")]

    assert attribute(frames) == ("socket: read", "uv__read:1063")


def test_attribute_knows_a_stack_without_modules():
    assert attribute([("python", "main")]) == ("python", "main")
    assert attribute([]) == ("python", "")
