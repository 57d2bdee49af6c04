"""Recording rules against made-up series, evaluated by promtool: figures a person can check by hand."""

from __future__ import annotations

from pathlib import Path

from rule_values import evaluate


def test_pue_is_energy_bought_over_energy_at_the_racks(tmp_path: Path) -> None:
    evaluate(
        tmp_path,
        {
            'aif_energy_joules_total{site="s",device="utility-a",side="A",scope="inlet"}': "0+19500x60",
            'aif_energy_joules_total{site="s",rack="r1",device="pdu-a",side="A",scope="inlet"}': "0+15000x60",
            'aif_meter_info{site="s",device="utility-a",role="facility"}': "1x60",
            'aif_meter_info{site="s",device="pdu-a",role="it"}': "1x60",
        },
        {
            "site:aif_facility_power_watts:rate1m": [('{site="s"}', 1300)],
            "site:aif_it_power_watts:rate1m": [('{site="s"}', 1000)],
            "site:aif_pue:ratio": [('{site="s"}', 1.3)],
        },
    )


def test_cost_per_hour_agrees_with_the_worked_example(tmp_path: Path) -> None:
    """$4.0M, residual 0.2, 4 years = $91.26/h; 130 kW bought at $0.10 = $13/h; $876,600 a year = $100/h."""
    evaluate(
        tmp_path,
        {
            'aif_cost_capex_usd{site="s",asset_class="gpu"}': "4000000x60",
            'aif_cost_residual_ratio{site="s",asset_class="gpu"}': "0.2x60",
            'aif_cost_amortization_years{site="s",asset_class="gpu"}': "4x60",
            'aif_cost_staff_usd_per_year{site="s"}': "876600x60",
            'aif_cost_maintenance_usd_per_year{site="s"}': "0x60",
            'aif_cost_colo_usd_per_year{site="s"}': "0x60",
            'aif_energy_price_usd_per_kwh{site="s"}': "0.1x60",
            'aif_energy_joules_total{site="s",device="u",side="A",scope="inlet"}': "0+1950000x60",
            'aif_meter_info{site="s",device="u",role="facility"}': "1x60",
        },
        {
            "site:aif_cost_capex_usd_per_hour:sum": [('{site="s"}', 91.2617)],
            "site:aif_cost_energy_usd_per_hour:rate1m": [('{site="s"}', 13)],
            "site:aif_cost_usd_per_hour:sum": [('{site="s"}', 204.2617)],
        },
    )


def test_tokens_per_joule_of_a_model_counts_only_its_gpus(tmp_path: Path) -> None:
    engine = 'site="s",node="n",engine="vllm",model="m",replica="r"'
    evaluate(
        tmp_path,
        {
            f'aif_inference_tokens_total{{{engine},kind="generation",source="computed"}}': "0+15000x60",
            f'aif_inference_tokens_total{{{engine},kind="prompt",source="computed"}}': "0+99999x60",
            'aif_gpu_energy_joules_total{site="s",rack="r1",node="n",gpu="0",uuid="GPU-a"}': "0+7500x60",
            'aif_gpu_energy_joules_total{site="s",rack="r1",node="n",gpu="1",uuid="GPU-b"}': "0+9000x60",
            f'aif_inference_gpu_info{{{engine},uuid="GPU-a"}}': "1x60",
        },
        {
            "model:aif_gpu_power_watts:sum": [('{site="s",model="m"}', 500)],
            "model:aif_tokens_per_joule:gpu": [('{site="s",model="m"}', 2)],
        },
    )


def test_rack_power_counts_a_watt_once_and_both_sides(tmp_path: Path) -> None:
    pdu = 'site="s",rack="r1",device="{}",side="{}"'
    evaluate(
        tmp_path,
        {
            f'aif_power_active_watts{{{pdu.format("pdu-a", "A")},scope="inlet",id=""}}': "4000x60",
            f'aif_power_active_watts{{{pdu.format("pdu-a", "A")},scope="phase",id="L1"}}': "1333x60",
            f'aif_power_active_watts{{{pdu.format("pdu-b", "B")},scope="inlet",id=""}}': "5000x60",
            'aif_power_active_watts{site="s",rack="r1",device="bmc",side="",scope="inlet",id=""}': "8000x60",
            'aif_device_info{site="s",rack="r1",device="pdu-a",role="rack_pdu",side="A"}': "1x60",
            'aif_device_info{site="s",rack="r1",device="pdu-b",role="rack_pdu",side="B"}': "1x60",
            'aif_device_info{site="s",rack="r1",device="bmc",role="bmc",side=""}': "1x60",
            'aif_power_budget_watts{site="s",rack="r1",hall="h"}': "12000x60",
        },
        {
            "rack:aif_power_active_watts:sum": [('{site="s",rack="r1"}', 9000)],
            "rack:aif_power_active_watts:side": [
                ('{site="s",rack="r1",side="A"}', 4000),
                ('{site="s",rack="r1",side="B"}', 5000),
            ],
            "rack:aif_power_budget:used": [('{site="s",rack="r1"}', 0.75)],
        },
    )
