"""What it costs to be observed: a Prometheus scrape a second, against none."""

from __future__ import annotations

import http.client
import threading

from benchmarks.context import Context
from benchmarks.measure import Sample, interleave, load, noise_note, samples_json
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.process import running
from benchmarks.result import Check, Figure, Result
from benchmarks.summary import figure, ratio

NAME = "metrics_cost"
CONNECTIONS = 64
SCRAPE_EVERY_S = 1.0
MAX_RATIO = 1.05


class Scraper:
    """Fetches the metrics again and again from a thread of its own, while entered."""

    def __init__(self, admin_port: int) -> None:
        self._port = admin_port
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.scrapes = 0

    def __enter__(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="scraper")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10.0)
            connection.request("GET", "/metrics")
            if connection.getresponse().status == 200:
                self.scrapes += 1
            connection.close()
            if self._stop.wait(SCRAPE_EVERY_S):
                return


def run(context: Context) -> Result:
    """Small requests with and without a scraper, turn by turn."""
    repository, _ = context.write(SMALL)
    payload = json_rows(SMALL.name, 1, FEATURES)
    with running(context.start_penstock(repository)) as server:
        scraper = Scraper(server.admin_port)

        def scraped() -> Sample:
            with scraper:
                return load(context, server, payload, CONNECTIONS)

        context.say(f"{NAME}: {CONNECTIONS} connections, a scrape every {SCRAPE_EVERY_S:.0f} s")
        taken = interleave(
            {
                "alone": lambda: load(context, server, payload, CONNECTIONS),
                "scraped": scraped,
            },
            context.rounds,
        )
    alone, watched = ([s.cpu_us for s in taken[name]] for name in ("alone", "scraped"))
    return Result(
        NAME,
        (
            Check(ratio("CPU per request, scraped / alone", watched, alone), "<=", MAX_RATIO),
            Check(Figure("scrapes answered", scraper.scrapes), ">=", context.rounds),
        ),
        (
            figure("alone", alone, "µs/req"),
            figure("scraped", watched, "µs/req"),
        ),
        noise_note([*taken["alone"], *taken["scraped"]]),
        details=dict(samples_json(taken)),
    )
