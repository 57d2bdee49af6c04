"""What the rules for dcgm-exporter make of the hard cases, worked out by promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

PLACE = 'site="s",rack="r",node="n",'
TARGET = f'job="dcgm-exporter",instance="n:9400",{PLACE}'
G0 = f'{TARGET}gpu="0",UUID="GPU-0",device="nvidia0",modelName="NVIDIA H100 80GB HBM3",Hostname="n"'
G1 = G0.replace('gpu="0",UUID="GPU-0"', 'gpu="1",UUID="GPU-1"')
OURS = f'{PLACE}gpu="0",uuid="GPU-0"'
UP = f"up{{{TARGET.rstrip(',')}}}"


def dcgm(field: str, labels: str = G0) -> str:
    return f"DCGM_FI_{field}{{{labels}}}"


def ask(
    rules: Path, tmp_path: Path, given: dict[str, str], wanted: dict[str, dict[str, float]], at: str
) -> None:
    """Fails unless each expression gives exactly the wanted series (labels -> value) at that time."""
    test = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in given.items()],
                "promql_expr_test": [
                    {
                        "expr": expr,
                        "eval_time": at,
                        "exp_samples": [{"labels": labels, "value": value} for labels, value in rows.items()],
                    }
                    for expr, rows in wanted.items()
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def rules(checkout_rules: dict[str, Path]) -> Path:
    return checkout_rules["dcgm"]


def test_a_node_that_has_our_agent_is_not_counted_twice(rules: Path, tmp_path: Path) -> None:
    agent = f'job="gigawatch-agent",instance="n",{OURS}'
    other = G0.replace('node="n"', 'node="m"').replace("GPU-0", "GPU-9")
    given = {
        f'aif_gpu_power_watts{{{agent},scope="gpu"}}': "500x9",
        dcgm("DEV_POWER_USAGE"): "490x9",
        dcgm("DEV_POWER_USAGE", other): "300x9",
        dcgm("DEV_SM_CLOCK"): "1980x9",
    }
    wanted = {
        "sum(aif_gpu_power_watts)": {"{}": 800.0},
        # What the agent does not give is still taken.
        'sum by (node) (aif_gpu_clock_hertz{domain="sm"})': {'{node="n"}': 1.98e9},
    }
    ask(rules, tmp_path, given, wanted, "5m")


def test_the_scrapes_node_wins_over_the_exporters_own(rules: Path, tmp_path: Path) -> None:
    own = G0.replace('Hostname="n"', 'hostname="elsewhere"')
    bare = G1.replace('node="n",', "").replace('Hostname="n"', 'hostname="elsewhere"')
    given = {dcgm("DEV_GPU_TEMP", own): "40x9", dcgm("DEV_GPU_TEMP", bare): "50x9"}
    wanted = {
        'sum by (node) (aif_gpu_temperature_celsius{sensor="core"})': {
            '{node="n"}': 40.0,
            '{node="elsewhere"}': 50.0,
        }
    }
    ask(rules, tmp_path, given, wanted, "5m")


@pytest.mark.parametrize(
    ("values", "rises"),
    [
        ("0x5 79x9", True),  # the first one
        ("79x14", False),  # old: it stood there from the start
        ("0x3 31x3 79x9", True),  # after another one
        ("0x14", False),
    ],
)
def test_an_xid_becomes_a_count_that_alerts_see_rise(
    values: str, rises: bool, rules: Path, tmp_path: Path
) -> None:
    rise = 'sum by (xid) (increase(aif_gpu_xid_errors_total{xid="79"}[10m])) > bool 0'
    ask(
        rules,
        tmp_path,
        {dcgm("DEV_XID_ERRORS"): values},
        {rise: {'{xid="79"}': float(rises)}, 'count(aif_gpu_xid_errors_total{xid="48"})': {"{}": 1.0}},
        "10m",
    )


def test_the_same_xid_again_is_not_seen(rules: Path, tmp_path: Path) -> None:
    """DCGM gives the last code only: this is what the page says that it cannot see."""
    given = {dcgm("DEV_XID_ERRORS"): "0x3 94x20"}
    wanted = {
        'increase(aif_gpu_xid_errors_total{xid="94"}[10m])': {f'{{{OURS},source="dcgm",xid="94"}}': 0.0}
    }
    ask(rules, tmp_path, given, wanted, "20m")


def _state(ok: int, lost: int, missing: int) -> dict[str, dict[str, float]]:
    rows = {"ok": ok, "lost": lost, "missing": missing, "hung": 0, "reset_required": 0}
    query = 'sum by (state) (aif_gpu_state{gpu="0"})'
    return {query: {f'{{state="{name}"}}': float(value) for name, value in rows.items()}}


def _pair(first: str, energy: str = "1000+60000x90") -> dict[str, str]:
    return {
        UP: "1x90",
        dcgm("DEV_GPU_TEMP"): first,
        dcgm("DEV_POWER_USAGE"): first,
        dcgm("DEV_TOTAL_ENERGY_CONSUMPTION"): energy,
        dcgm("DEV_GPU_TEMP", G1): "40x90",
        dcgm("DEV_POWER_USAGE", G1): "100x90",
        dcgm("DEV_TOTAL_ENERGY_CONSUMPTION", G1): "1000+60000x90",
    }


def test_a_gpu_that_answers_is_ok(rules: Path, tmp_path: Path) -> None:
    wanted = {
        **_state(1, 0, 0),
        'aif_gpus_visible{source="nvml"}': {f'aif_gpus_visible{{{PLACE}source="nvml"}}': 2.0},
    }
    ask(rules, tmp_path, _pair("50x90"), wanted, "20m")


def test_a_gpu_that_went_away_is_missing_and_no_longer_counted(rules: Path, tmp_path: Path) -> None:
    wanted = {
        **_state(0, 0, 1),
        'sum(aif_gpu_state{state="ok"})': {"{}": 1.0},
        "sum(aif_gpus_visible)": {"{}": 1.0},
    }
    ask(rules, tmp_path, _pair("50x10 stale"), wanted, "20m")


def test_a_gpu_that_went_away_with_xid_79_is_lost(rules: Path, tmp_path: Path) -> None:
    given = {**_pair("50x10 stale"), dcgm("DEV_XID_ERRORS"): "0x8 79x80"}
    ask(rules, tmp_path, given, _state(0, 1, 0), "20m")


def test_a_gpu_that_went_away_is_forgotten_after_an_hour(rules: Path, tmp_path: Path) -> None:
    ask(rules, tmp_path, _pair("50x5 stale"), {'count(aif_gpu_state{gpu="0"})': {}}, "80m")


def test_a_gpu_whose_values_stand_still_is_not_ok(rules: Path, tmp_path: Path) -> None:
    """Power and temperature may be steady; an energy counter of a GPU that lives never is."""
    given = _pair("50x90", energy="1000+60000x10 601000x80")
    ask(rules, tmp_path, given, {**_state(0, 0, 1), 'sum(aif_gpu_state{state="ok"})': {"{}": 1.0}}, "30m")


def test_an_exporter_that_is_down_reports_nothing_and_is_down(rules: Path, tmp_path: Path) -> None:
    given = {UP: "1x5 0x90", dcgm("DEV_GPU_TEMP"): "50x5 stale", dcgm("DEV_POWER_USAGE"): "90x5 stale"}
    wanted = {
        "count(aif_gpu_state)": {},
        'sum(aif_collector_up{collector="gpu"})': {"{}": 0.0},
    }
    ask(rules, tmp_path, given, wanted, "20m")


def test_an_exporter_that_answers_without_gpus_is_down_too(rules: Path, tmp_path: Path) -> None:
    """It does so when its counter file names a field that its DCGM does not know."""
    ask(rules, tmp_path, {UP: "1x30"}, {"sum(aif_collector_up)": {"{}": 0.0}}, "5m")


def test_a_slurm_job(rules: Path, tmp_path: Path) -> None:
    given = {
        dcgm("DEV_GPU_TEMP", f'{G0},hpc_job="4711"'): "50x9",
        dcgm("DEV_GPU_TEMP", f'{G1},hpc_job="0"'): "50x9",
    }
    row = f'aif_gpu_allocation_info{{{OURS},source="dcgm",scheduler="slurm",job_id="4711"}}'
    ask(rules, tmp_path, given, {"aif_gpu_allocation_info": {row: 1.0}}, "5m")


def test_shares_of_virtual_gpus_do_not_stand_for_the_gpu(rules: Path, tmp_path: Path) -> None:
    """Newer exporters give each pod its own memory; the GPU's is what is neither free nor reserved."""
    pods = [f'{G0},vgpu="{n}",pod="p{n}",namespace="d",container="c"' for n in (0, 1)]
    given = {}
    for pod, used in zip(pods, ("100x9", "300x9"), strict=True):
        given |= {
            dcgm("DEV_FB_USED", pod): used,
            dcgm("DEV_FB_TOTAL", pod): "1000x9",
            dcgm("DEV_FB_FREE", pod): "550x9",
            dcgm("DEV_FB_RESERVED", pod): "50x9",
        }
    wanted = {
        "sum(aif_gpu_memory_used_bytes) / 1048576": {"{}": 400.0},
        "sum(aif_gpu_memory_size_bytes) / 1048576": {"{}": 1000.0},
    }
    ask(rules, tmp_path, given, wanted, "5m")


def test_load_of_a_partition_is_its_own(rules: Path, tmp_path: Path) -> None:
    part = f'{G0},GPU_I_ID="3",GPU_I_PROFILE="2g.20gb"'
    given = {dcgm("PROF_SM_ACTIVE", part): "0.9x9", dcgm("PROF_SM_ACTIVE", G1): "0.2x9"}
    wanted = {
        "sum by (gpu) (aif_gpu_sm_active_ratio)": {'{gpu="1"}': 0.2},
        "sum by (gpu, gi) (aif_gpu_mig_sm_active_ratio)": {'{gpu="0",gi="3"}': 0.9},
    }
    ask(rules, tmp_path, given, wanted, "5m")


def test_fields_under_their_newer_names(rules: Path, tmp_path: Path) -> None:
    given = {
        dcgm("DEV_BOARD_POWER_WATTS"): "300x9",
        dcgm("DEV_GPU_TEMP_CELSIUS"): "60x9",
        dcgm("DEV_GPU_TEMP_SLOWDOWN_CELSIUS"): "87x9",
    }
    wanted = {
        'sum(aif_gpu_power_watts{scope="gpu"})': {"{}": 300.0},
        "sum(aif_gpu_temperature_margin_celsius)": {"{}": 27.0},
        'sum(aif_gpu_state{state="ok"})': {"{}": 1.0},
    }
    ask(rules, tmp_path, given, wanted, "5m")
