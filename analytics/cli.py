"""The command `gigawatch analytics`: serve, score, backtest."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from gigawatch.command import Command
from gigawatch.config import parse_duration
from gigawatch.config.load import environment
from gigawatch.errors import UserError


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _configure(parser: ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="serve|score|backtest")
    serve = verbs.add_parser("serve", help="read Prometheus, score, expose findings at /metrics")
    serve.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    serve.add_argument("--prometheus", metavar="URL", help="default http://127.0.0.1:9090")
    serve.add_argument("--state", type=Path, metavar="DIR", help="where the state is kept")
    serve.add_argument("--listen", metavar="ADDR", help="HOST:PORT or :PORT, default :9612")
    serve.add_argument("--interval", type=_duration, metavar="DURATION", help="time between runs, default 5s")
    serve.add_argument("--inventory", type=Path, metavar="FILE", help="the site: tells what capacity is left")
    serve.add_argument("--shard", metavar="I/N", help="score only this share of the nodes, such as 0/4")
    score = verbs.add_parser("score", help="score a CSV file of timestamp,value")
    score.add_argument("--input", type=Path, required=True, metavar="FILE")
    score.add_argument("--output", type=Path, required=True, metavar="FILE")
    test = verbs.add_parser("backtest", help="run all detectors over a recorded fleet")
    test.add_argument("--input", type=Path, required=True, metavar="FILE", help="CSV or Parquet")
    test.add_argument("--truth", type=Path, metavar="FILE", help="known faults, read after detection")
    test.add_argument("--findings", type=Path, metavar="FILE", help="write every finding to this CSV file")
    test.add_argument("--calibrate", action="store_true", help="fit the failure risk to this history")
    test.add_argument("--second-opinion", action="store_true", help="compare with an isolation forest")
    test.add_argument("--json", action="store_true", help="print the report as JSON")


def _run(arguments: Namespace) -> int:
    if arguments.verb == "serve":
        return _serve(arguments)
    if arguments.verb == "score":
        from analytics.score import score_file

        rows = score_file(arguments.input, arguments.output)
        if sys.stdout.isatty():
            print(f"{rows} rows scored: {arguments.output}")
        return 0
    return _backtest(arguments)


def _serve(arguments: Namespace) -> int:
    from analytics.service import serve_forever
    from analytics.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings(arguments.config, environment())
    given: dict[str, Any] = {
        name: value
        for name in ("state", "listen", "interval", "inventory", "shard")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.prometheus:
        given["prometheus"] = settings.prometheus.model_copy(update={"url": arguments.prometheus})
    return serve_forever(settings.model_copy(update=given))


def _backtest(arguments: Namespace) -> int:
    from analytics.backtest import backtest, table

    if (arguments.calibrate or arguments.second_opinion) and arguments.truth is None:
        raise UserError(
            "--calibrate and --second-opinion compare with known faults: give --truth FILE as well"
        )
    report = backtest(
        arguments.input, arguments.truth, arguments.findings, arguments.calibrate, arguments.second_opinion
    )
    print(json.dumps(report, indent=2) if arguments.json else table(report))
    return 0


ANALYTICS = Command(
    summary="score the fleet: anomalies, thermal resistance, time to throttle, incidents",
    example="gigawatch analytics serve --prometheus http://127.0.0.1:9090 --state .gigawatch/analytics",
    configure=_configure,
    run=_run,
)
