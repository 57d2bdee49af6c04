"""What the trickier expressions of the boards give, computed by Prometheus itself over made-up series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from board_values import ask

from dashboards.boards import (
    alarms,
    common,
    facility,
    job,
    node_activity,
    rack,
    serving_health,
    training,
    training_lost,
    training_ranks,
)
from dashboards.boards.facility_cooling import of_loop
from gigawatch.catalogue import facility as fac
from gigawatch.catalogue import gpu
from gigawatch.promql import max_by, series
from gigawatch.promql import recording as rec

BREAKER = 'aif_breaker_rating_amperes{site="s",rack="r1",device="pdu",side="A",id="main"}'
CURRENT = 'aif_current_amperes{site="s",rack="r1",device="pdu",side="A",scope="phase",id="L%d"}'
WATCH = 'alertname="Hot",severity="critical",domain="gpu",scope="gpu",place="n1",site="s"'


def test_breaker_load_is_current_over_the_main_breakers_rating(tmp_path: Path) -> None:
    given = {BREAKER: "50x9", CURRENT % 1: "30x9", CURRENT % 2: "40x9"}
    ask(tmp_path, facility.breaker_load(), given, "1m", {'{site="s",device="pdu",side="A"}': 0.8})
    wanted = {
        '{site="s",rack="r1",device="pdu",side="A",id="L1"}': 0.6,
        '{site="s",rack="r1",device="pdu",side="A",id="L2"}': 0.8,
    }
    ask(tmp_path, rack.breaker_load(), given, "1m", wanted)


def test_a_state_set_shows_the_code_of_its_state(tmp_path: Path) -> None:
    name = 'aif_breaker_state{site="s",device="%s",side="A",id="main",state="%s"}'
    given = {
        **{
            name % ("a", state): ("1x9" if state == "normal" else "0x9")
            for state in ("normal", "tripped", "off")
        },
        **{
            name % ("b", state): ("1x9" if state == "off" else "0x9")
            for state in ("normal", "tripped", "off")
        },
    }
    code = common.state_code(fac.BREAKER_STATE, {"tripped": 1, "off": 2}, "device")
    ask(tmp_path, code, given, "1m", {'{device="a"}': 0, '{device="b"}': 2})


def test_gpus_not_ok_counts_the_lost_and_the_unreported(tmp_path: Path) -> None:
    state = 'aif_gpu_state{site="s",rack="r1",node="n1",gpu="%d",uuid="u%d",state="ok"}'
    expected = {'aif_gpus_expected{site="s",rack="r1",node="n1"}': "8x9"}
    working = {state % (i, i): ("0x9" if i == 3 else "1x9") for i in range(6)}
    ask(tmp_path, common.gpus_not_ok(), {**expected, **working}, "1m", {"{}": 3})
    ask(tmp_path, common.gpus_not_ok(), expected, "1m", {"{}": 8})


def test_nothing_open_is_zero_and_not_empty(tmp_path: Path) -> None:
    info = 'aif_incident_info{site="s",incident="%s",cause="fan",scope="node",place="n1"}'
    ask(tmp_path, common.incidents_open(), {"other": "1x9"}, "1m", {"{}": 0})
    ask(tmp_path, common.incidents_open(), {info % "a": "1x9", info % "b": "1x9"}, "1m", {"{}": 2})


def test_how_long_an_alert_fires_leaves_out_the_pending(tmp_path: Path) -> None:
    other = WATCH.replace("Hot", "Cold")
    given = {
        f'ALERTS{{alertstate="firing",{WATCH}}}': "1x30",
        f"ALERTS_FOR_STATE{{{WATCH}}}": "60x30",
        f'ALERTS{{alertstate="pending",{other}}}': "1x30",
        f"ALERTS_FOR_STATE{{{other}}}": "120x30",
    }
    made = common.firing_for("alertname", "place")
    ask(tmp_path, made, given, "10m", {'{alertname="Hot",place="n1"}': 540})


def test_new_alerts_are_those_that_did_not_fire_ten_minutes_ago(tmp_path: Path) -> None:
    def alert(name: str) -> str:
        return f'ALERTS{{alertstate="firing",{WATCH.replace("Hot", name)}}}'

    given = {
        alert("Standing"): "1x60",
        alert("New"): "_x50 1x10",
        alert("Brief"): "_x48 1x3 stale",
        alert("Gone"): "1x10 stale",
    }
    made = alarms.started()
    ask(tmp_path, common.or_zero(common.count_by(made)), given, "30m", {"{}": 2})


def test_the_heartbeat_is_no_alert(tmp_path: Path) -> None:
    given = {'ALERTS{alertname="Watchdog",alertstate="firing",severity="none"}': "1x9"}
    ask(tmp_path, common.or_zero(common.count_by(common.firing())), given, "1m", {"{}": 0})


def test_alerts_without_a_site_are_shown_too(tmp_path: Path) -> None:
    given = {'ALERTS{alertname="NoData",alertstate="firing",severity="critical",place="analytics"}': "1x9"}
    made = common.count_by(common.firing(**common.ALERT_SITE))
    ask(tmp_path, made, given, "1m", {"{}": 1})


def test_a_job_shows_its_own_gpus(tmp_path: Path) -> None:
    power = 'aif_gpu_power_watts{site="s",rack="r1",node="n1",gpu="%d",uuid="u%d",scope="gpu"}'
    held = (
        'aif_gpu_allocation_info{site="s",rack="r1",node="n1",gpu="0",uuid="u0",job_id="j",stage="training"}'
    )
    given = {power % (0, 0): "500x9", power % (1, 1): "90x9", held: "1x9"}
    made = job.of_job(gpu.GPU_POWER, scope="gpu")
    wanted = {'{site="s",rack="r1",node="n1",gpu="0",uuid="u0",job_id="j"}': 500.0}
    ask(tmp_path, made, given, "1m", wanted)


def test_a_coolant_units_figures_carry_its_loop(tmp_path: Path) -> None:
    given = {
        'aif_reservoir_level_ratio{site="s",hall="h",device="cdu-1"}': "0.9x9",
        'aif_reservoir_level_ratio{site="s",hall="h",device="tank"}': "0.5x9",
        'aif_device_info{site="s",device="cdu-1",role="cdu",loop="l1",hall="h"}': "1x9",
        'aif_device_info{site="s",device="tank",role="sensor",hall="h"}': "1x9",
    }
    made = of_loop(series(fac.RESERVOIR_LEVEL))
    ask(tmp_path, made, given, "1m", {'{site="s",device="cdu-1",loop="l1"}': 0.9})


_REPLICA = '{site="s",rack="r",node="%s",engine="vllm",model="m",replica="a"}'


def _engine(name: str, node: str) -> str:
    return f"aif_inference_{name}{_REPLICA % node}"


def test_an_engine_is_frozen_beyond_its_patience_and_well_where_it_tells_nothing(tmp_path: Path) -> None:
    given = {
        # Works; frozen, and says that it is well; unhealthy; dead; tells nothing but that it answers.
        **{_engine("engine_up", node): "1x9" for node in ("n1", "n2", "n3", "n5")},
        _engine("engine_up", "n4"): "0x9",
        **{_engine("engine_healthy", node): "1x9" for node in ("n1", "n2")},
        **{_engine("engine_healthy", node): "0x9" for node in ("n3", "n4")},
        **{_engine("stall_patience_seconds", node): "20x9" for node in ("n1", "n2", "n3")},
        _engine("stalled_seconds", "n1"): "15x9",
        _engine("stalled_seconds", "n2"): "60x9",
        _engine("stalled_seconds", "n3"): "0x9",
    }
    states = {"n1": 1, "n2": 3, "n3": 5, "n4": 4, "n5": 1}
    wanted = {_engine("", node).replace("aif_inference_", ""): float(state) for node, state in states.items()}
    ask(tmp_path, serving_health.state(), given, "1m", wanted)
    assert set(states.values()) <= serving_health.STATES.keys()
    ask(tmp_path, serving_health.troubled(), given, "1m", {"{}": 3})
    ask(tmp_path, serving_health.troubled(), {_engine("engine_up", "n1"): "1x9"}, "1m", {"{}": 0})


_RANK = 'aif_training_rank_step{site="s",rack="r",node="n%d",gpu="0",job_id="%s",rank="%d"}'
_STEPS = 'aif_training_steps_total{site="s",rack="r",node="n0",job_id="%s",model="m"}'


def test_ranks_are_behind_only_where_a_job_stands_still(tmp_path: Path) -> None:
    given = {
        _STEPS % "runs": "0+1x20",
        _STEPS % "hangs": "7x20",
        **{_RANK % (rank, "runs", rank): f"{10 + rank}x20" for rank in range(3)},
        **{_RANK % (rank, "hangs", rank): ("6x20" if rank == 2 else "7x20") for rank in range(3)},
    }
    labels = '{site="s",rack="r",node="n2",gpu="0",job_id="hangs",rank="2"}'
    ask(tmp_path, training_ranks.steps_behind(), given, "5m", {labels: 1})


def test_what_a_jobs_time_goes_into_adds_up(tmp_path: Path) -> None:
    def told(name: str, extra: str = "") -> str:
        return f'aif_training_{name}_total{{site="s",node="n0",job_id="j",model="m"{extra}}}'

    # Of the time 3/4 in steps, a third of them done again; 1/8 saving; 1/16 starting up, 1/16 down.
    given = {
        told("elapsed_seconds"): "0+30x20",
        told("step_seconds"): "0+22.5x20",
        told("checkpoint_seconds"): "0+3.75x20",
        told("lost_seconds", ',reason="rework"'): "0+7.5x20",
        told("lost_seconds", ',reason="startup"'): "0+1.875x20",
        told("lost_seconds", ',reason="downtime"'): "0+1.875x20",
    }
    shares = {line.legend: line.expr for line in training_lost.shares()}
    wanted = {
        "steps that count": 0.5,
        "steps done again": 0.25,
        "checkpoints": 0.125,
        "starting up": 0.0625,
        "not running": 0.0625,
    }
    assert list(shares) == list(wanted)
    for what, value in wanted.items():
        ask(tmp_path, shares[what], given, "5m", {"{}": value})


def test_jobs_that_do_not_train_have_no_place_on_the_training_board(tmp_path: Path) -> None:
    given = {
        'job:aif_gpus:count{site="s",job_id="trains"}': "8x9",
        'job:aif_gpus:count{site="s",job_id="serves"}': "8x9",
        'aif_training_report_timestamp_seconds{site="s",node="n",job_id="trains",model="m"}': "1x9",
    }
    made = training.of_job(rec.JOB_GPUS)
    ask(tmp_path, made, given, "1m", {'{site="s",job_id="trains"}': 8})


def test_power_of_a_role_counts_inlets_once(tmp_path: Path) -> None:
    power = 'aif_power_active_watts{site="s",device="%s",side="A",scope="%s",id="%s"}'
    given = {
        power % ("utility-a", "inlet", ""): "900x9",
        power % ("ups-a", "inlet", ""): "500x9",
        power % ("ups-a", "output", ""): "480x9",
        'aif_device_info{site="s",device="utility-a",role="utility",side="A"}': "1x9",
        'aif_device_info{site="s",device="ups-a",role="ups",side="A"}': "1x9",
    }
    made = facility.inlet("utility")
    ask(tmp_path, made, given, "1m", {'{site="s",device="utility-a",side="A",role="utility"}': 900})


@pytest.mark.parametrize(
    ("held", "code"), [((), 0), (("sw_power_cap",), 1), (("hw_thermal_slowdown", "sw_power_cap"), 5)]
)
def test_reasons_that_hold_a_clock_down_add_up_to_a_known_code(
    held: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    reasons: dict[str, Any] = gpu.GPU_CLOCK_EVENT_ACTIVE.values  # type: ignore[assignment] # a mapping is enough
    name = 'aif_gpu_clock_event_active{site="s",rack="r1",node="n1",gpu="0",uuid="u",reason="%s"}'
    given = {name % reason: ("1x9" if reason in held else "0x9") for reason in reasons["reason"]}
    made = common.state_code(gpu.GPU_CLOCK_EVENT_ACTIVE, node_activity.HELD_CODES, "gpu")
    ask(tmp_path, made, given, "1m", {'{gpu="0"}': code})
    assert code in node_activity.HELD


def test_every_sum_of_reasons_has_words() -> None:
    sums = {0}
    for code in node_activity.HELD_CODES.values():
        sums |= {total + code for total in sums}
    assert sums == set(node_activity.HELD)


def test_max_by_is_what_ask_can_tell_apart(tmp_path: Path) -> None:
    given = {'aif_gpu_power_watts{site="s",node="n1",gpu="0",scope="gpu"}': "5x9"}
    made = max_by(series(gpu.GPU_POWER, scope="gpu"), "node")
    with pytest.raises(AssertionError, match="exp"):
        ask(tmp_path, made, given, "1m", {'{node="n1"}': 6})
