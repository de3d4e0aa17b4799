"""The scrape configuration asks where servers answer, as they are unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import yaml

from serve.config import AdminSettings

ROOT = Path(__file__).parents[3]


def test_discovery_is_asked_of_the_default_admin_port():
    configuration = yaml.safe_load((ROOT / "deploy/prometheus.yaml").read_text())
    assert set(configuration) == {"global", "scrape_configs"}
    (job,) = configuration["scrape_configs"]
    assert set(job) == {"job_name", "http_sd_configs"}
    (discovery,) = job["http_sd_configs"]
    assert set(discovery) == {"url", "refresh_interval"}
    url = urlsplit(discovery["url"])
    assert (url.scheme, url.hostname, url.path) == ("http", "localhost", "/sd")
    assert url.port == AdminSettings().port
