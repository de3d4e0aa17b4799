"""Scenarios of any model, on a toy server: briefly, for what they yield."""

import signal
from dataclasses import replace

import pytest

from benchmarks.attempt import Interrupted
from benchmarks.context import Context
from benchmarks.proctree import ProcessTree
from benchmarks.scenarios import catalogue
from benchmarks.scenarios.ab_cpu import shuffled_orders
from benchmarks.subject import Given

SHORT = {"duration_s": 0.3, "warmup_s": 0.1}


def measure(name, context, **params):
    measured = catalogue.run(name, context, params)
    assert not measured.unsupported
    return measured


def test_server_fixed_yields_the_load_as_a_user_sees_it(toy_context):
    measured = measure("server_fixed", toy_context, rate=2000.0, duration_s=0.5, warmup_s=0.1)

    assert measured.metrics.keys() == catalogue.SCENARIOS["server_fixed"].metrics.keys()
    assert measured.metrics["requests"] == pytest.approx(1000, rel=0.2)
    assert measured.metrics["error_rate"] == 0.0
    assert measured.histogram and measured.timeline
    assert sum(measured.batch_rows.values()) >= measured.metrics["requests"]


def test_server_fixed_leaves_out_cpu_where_the_process_is_not_known(toy_server, tmp_path):
    context = Context(tmp_path, Given(f"127.0.0.1:{toy_server.http_port}"))

    measured = measure("server_fixed", context, rate=500.0, **SHORT)

    assert not [name for name in measured.metrics if name.startswith("server_")]
    assert "its CPU and memory were not measured" in measured.notes[0]


def test_server_fixed_is_invalid_with_too_few_requests(toy_context):
    measured = measure("server_fixed", toy_context, rate=100.0, **SHORT)

    assert [why for why in measured.invalid if "too few" in why]


def test_server_fixed_that_is_interrupted_leaves_what_it_measured(toy_context):
    def interrupt(what, part):
        if part:
            signal.raise_signal(signal.SIGINT)

    context = replace(toy_context, progress=interrupt)
    with pytest.raises(Interrupted) as stopped:
        catalogue.run("server_fixed", context, {"rate": 1000.0, "duration_s": 60.0, "warmup_s": 0})

    assert stopped.value.measurement.metrics["rate_per_s.ok"] > 0
    assert "interrupted" in stopped.value.measurement.invalid[0]


def test_single_stream_has_one_request_under_way(toy_context):
    measured = measure("single_stream", toy_context, **SHORT)

    assert measured.metrics["rate_per_s.ok"] * measured.metrics["latency_ms.p50"] < 1100


def test_saturation_yields_each_level_and_the_best(toy_context):
    measured = measure("saturation", toy_context, levels=(1, 4), **SHORT)
    best = max(measured.metrics[f"at_{level}.rate_per_s.ok"] for level in (1, 4))

    assert measured.metrics["rate_per_s.ok"] == best
    assert [point.x for point in measured.curve] == [1.0, 4.0]
    assert measured.metrics["at_4.server_cpu_us_per_req"] > 0


def test_ab_cpu_yields_pairs_of_rounds(toy, toy_context):
    context = replace(toy_context, baseline=toy("--spin-us", "300"))

    measured = measure("ab_cpu", context, rounds=3, starts=2, round_s=0.2, connections=4)

    assert [one.number for one in measured.rounds] == [0, 0, 1, 1, 2, 2]
    assert [one.start for one in measured.rounds] == [1, 1, 1, 1, 2, 2]
    assert {one.contender for one in measured.rounds} == {"candidate", "baseline"}
    assert measured.metrics["ratio.server_cpu_us_per_req"] < 0.7
    assert measured.metrics.keys() == catalogue.SCENARIOS["ab_cpu"].metrics.keys()


@pytest.mark.parametrize(("own_core", "expected"), [(True, [[0, 1], [0, 1]]), (False, [])])
def test_ab_cpu_leaves_the_last_core_to_the_generator(
    toy, toy_context, monkeypatch, own_core, expected
):
    context = replace(toy_context, baseline=toy())
    kept: list[list[int]] = []
    monkeypatch.setattr(ProcessTree, "keep_to", lambda self, cores: kept.append(cores))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})

    measure("ab_cpu", context, rounds=1, starts=1, round_s=0.1, connections=4, own_core=own_core)

    assert kept == expected


def test_shuffled_orders_begin_with_each_as_often():
    orders = shuffled_orders(24, seed=1)

    assert orders.count(("candidate", "baseline")) == 12
    assert orders == shuffled_orders(24, seed=1) != shuffled_orders(24, seed=2)


def test_cold_start_yields_starts_of_both(toy, toy_context):
    context = replace(toy_context, baseline=toy())

    measured = measure("cold_start", context, starts=2)

    assert 0 < measured.metrics["ready_s"] <= measured.metrics["first_answer_s"]
    assert measured.metrics["exit_status.max"] == 0
    assert len(measured.rounds) == 4


def test_batch_sweep_yields_a_row_by_size_and_encoding(toy_context):
    measured = measure("batch_sweep", toy_context, sizes=(1, 8), **SHORT)
    json_8, binary_8 = (measured.metrics[f"{form}_8.rows_per_s"] for form in ("json", "binary"))

    assert measured.metrics["binary.rows_per_s.best"] >= binary_8 > 0
    assert json_8 > 0
    assert [point.x for point in measured.curve] == [1.0, 8.0]


def test_step_burst_yields_each_phase(toy_context):
    measured = measure(
        "step_burst", toy_context, rate=200.0, normal_s=0.4, burst_s=0.4, warmup_s=0.0
    )

    names = {name for name in measured.metrics if not name.startswith("replicas.")}
    known = catalogue.SCENARIOS["step_burst"].metrics.keys()
    assert names == {name for name in known if not name.startswith("replicas.")}
    assert measured.metrics["requests"] == pytest.approx(560, rel=0.25)
    assert measured.metrics["replicas.burst.most"] == 0


def test_step_burst_counts_replicas(toy, toy_context):
    context = replace(toy_context, subject=toy("--replicas", "2"))

    measured = measure("step_burst", context, rate=200.0, normal_s=0.6, burst_s=0.6, warmup_s=0.0)

    found = {name: value for name, value in measured.metrics.items() if "replicas." in name}
    assert set(found.values()) == {2.0}
    assert len(found) == 9


def test_soak_yields_growth(toy_context):
    measured = measure(
        *("soak", toy_context), rate=200.0, duration_s=4.0, window_s=2.0, settle_s=0.0
    )

    assert measured.metrics.keys() == catalogue.SCENARIOS["soak"].metrics.keys()
    assert measured.metrics["open_files_growth"] == measured.metrics["threads_growth"] == 0
    assert [one.start_s for one in measured.timeline] == [0.0, 2.0]


def test_replica_kill_kills_one_and_counts_what_is_lost(toy, toy_context):
    context = replace(toy_context, subject=toy("--replicas", "2"))

    measured = measure("replica_kill", context, use="served", rate=500.0, before_s=0.5, after_s=1.0)

    assert measured.metrics["failed"] == 0
    assert measured.metrics["replaced_s"] == 1.0  # it never was
    assert measured.metrics.keys() == catalogue.SCENARIOS["replica_kill"].metrics.keys()


def test_max_qps_probes_and_confirms(toy_context):
    """Loads that are real; what they show is up to the machine."""
    measured = measure(
        *("max_qps", toy_context),
        start_rate=500.0,
        highest_rate=1000.0,
        probe_s=0.5,
        confirm_s=0.5,
        confirm_tries=1,
        noisy_retries=0,
        slo_ms=10_000.0,
        warmup_s=0.1,
    )

    assert measured.metrics["max_qps_per_s"] <= measured.metrics["max_qps_per_s.searched"] <= 1000.0
    assert measured.metrics["probes"] == len(measured.curve) >= 2


def test_overload_of_the_served_model_yields_the_worst_and_each_factor(toy, toy_context):
    context = replace(toy_context, subject=toy("--spin-us", "2000", "--refuse-every", "3"))

    measured = measure(
        *("overload", context),
        use="served",
        factors=(1.5, 3.0),
        burst_s=0.3,
        capacity_s=0.3,
        connections=64,
        capacity_connections=4,
    )

    metrics = measured.metrics
    assert metrics["refused_rate"] == max(metrics["x1_5.refused_rate"], metrics["x3.refused_rate"])
    assert metrics["refusals_without_hint"] == metrics["failed"] == 0
    assert metrics["refused_rate"] > 0.2
    assert metrics["capacity_per_s"] == pytest.approx(330, rel=0.9)
