"""What it costs to be observed: a Prometheus scrape a second, against none.

Small requests to the same server, with and without a scraper, turn by turn. In the rounds, the
baseline is the server that nobody scrapes.
"""

from __future__ import annotations

import contextlib
import http.client
from typing import Annotated

from msgspec import Meta

from benchmarks.attempt import Attempt
from benchmarks.context import Context
from benchmarks.measure import interleave
from benchmarks.measurement import Measurement
from benchmarks.models import FEATURES, SMALL
from benchmarks.payloads import json_rows
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.scenarios.rounds import RoundParams, Seen, error_rate, loader, pairs
from benchmarks.subject import Served
from benchmarks.summary import medians, ratio
from benchmarks.ticker import Ticker

NAME = "metrics_cost"
METRICS = {
    "cpu_ratio": "Median of CPU per request, scraped / not scraped.",
    "cpu_ratio.low": "Lower end of its 95 % interval.",
    "cpu_ratio.high": "Upper end.",
    "server_cpu_us_per_req": "While scraped, median.",
    "alone.server_cpu_us_per_req": "While not scraped, median.",
    "scrapes": "Scrapes that were answered.",
    "error_rate": "Part of all requests that failed.",
}


class Params(RoundParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often it is scraped."""

    every_s: Annotated[float, Meta(gt=0, description="Seconds between two scrapes.")] = 1.0
    connections: Annotated[int, Meta(ge=1, description="Callers at once.")] = 64


class Scraper:
    """Fetches the metrics of a server, and counts."""

    def __init__(self, server: Served) -> None:
        self._address = (server.admin_host, server.admin_port)
        self.scrapes = 0

    def scrape(self) -> None:
        """Once."""
        connection = http.client.HTTPConnection(*self._address, timeout=10.0)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            response.read()
        self.scrapes += response.status == 200


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(2 * (params.rounds + 1), params.round_s)


def run(context: Context, params: Params) -> Measurement:
    """Small requests with and without a scraper, turn by turn."""
    payload = json_rows(SMALL.name, 1, FEATURES)
    with Attempt(context, NAME, params) as attempt, context.serving(SMALL) as server:
        scraper = Scraper(server)
        scraping = Ticker(params.every_s, scraper.scrape, at_once=True)
        load = loader(attempt, params, server, payload, params.connections, "scraped or not")

        def scraped() -> Seen:
            with scraping:
                return load()

        taken = interleave({"alone": load, "scraped": scraped}, params.rounds)
        alone, watched = taken["alone"], taken["scraped"]
        cpu = ratio(*([one["server_cpu_us_per_req"] for one in r] for r in (watched, alone)))
        return attempt.measurement(
            {
                "cpu_ratio": cpu.median,
                "cpu_ratio.low": cpu.low,
                "cpu_ratio.high": cpu.high,
                "server_cpu_us_per_req": medians(watched)["server_cpu_us_per_req"],
                "alone.server_cpu_us_per_req": medians(alone)["server_cpu_us_per_req"],
                "scrapes": scraper.scrapes,
                "error_rate": error_rate([*alone, *watched]),
            },
            rounds=tuple(pairs(watched, alone)),
        )
