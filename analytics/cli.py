"""The command `gigawatch analytics`: serve, score, backtest, train."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics.feedback.command import EXAMPLES, configure_mark, run_mark
from gigawatch.command import Command
from gigawatch.config import parse_duration
from gigawatch.config.load import environment
from gigawatch.errors import UserError

if TYPE_CHECKING:
    from analytics.training.jobs import Plan

_SCORE = """examples:
  gigawatch analytics score --input latency.csv --output scored.csv
  gigawatch analytics score --input server.csv --train last-month.csv --output scored.csv

`timestamp,value` is scored as it comes. A table with more columns is scored row by row, as a whole, by a
model that is fitted to --train, or else to the rows before."""
_BACKTEST = """examples:
  gigawatch simulate --scenario drift.yaml --out drift.parquet --truth truth.csv
  gigawatch analytics backtest --input drift.parquet --truth truth.csv --report drift.html
  gigawatch analytics backtest --input history/ --truth truth.csv --json --work .backtest
  gigawatch analytics backtest --input history/ --dask tcp://scheduler:8786 --findings found.csv
  gigawatch analytics backtest --input history/ --truth truth.csv --calibrate --out-risk risk.yaml

--input is a file or a folder of files (Parquet, CSV), one row per time and thing, in any order, with the
columns timestamp, uuid, gpu_power_watts and gpu_temperature_celsius at least
(docs/predictive-maintenance.md)."""
_TRAIN = """examples:
  gigawatch analytics train --input history/ --out models/
  gigawatch analytics train --history-from-prometheus http://127.0.0.1:9090 \\
      --from 2026-10-01 --to 2026-11-01 --out models/
  gigawatch analytics train --input history/ --out models/ --dask tcp://scheduler:8786
  gigawatch analytics serve --state models/

What is finished is kept in --out: a run that was interrupted goes on where it was."""


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to 1000")
    return int(text)


def _configure(parser: ArgumentParser) -> None:
    names = "serve|score|backtest|train|mark|compile"
    verbs = parser.add_subparsers(dest="verb", required=True, metavar=names)

    def verb(name: str, text: str, examples: str = "") -> ArgumentParser:
        return verbs.add_parser(
            name, help=text, description=text, epilog=examples, formatter_class=RawDescriptionHelpFormatter
        )

    _configure_serve(verb("serve", "read Prometheus, score, expose findings at /metrics"))
    configure_mark(verb("mark", "say that an incident was right, wrong or known", EXAMPLES))
    score = verb("score", "score a CSV file of timestamp,value, or a table of many columns", _SCORE)
    score.add_argument("--input", type=Path, required=True, metavar="FILE")
    score.add_argument("--output", type=Path, required=True, metavar="FILE")
    score.add_argument(
        "--train", type=Path, metavar="FILE", help="healthy history of the same columns, for tables"
    )
    test = verb("backtest", "run all detectors over a recorded fleet and judge what they find", _BACKTEST)
    test.add_argument("--input", type=Path, required=True, metavar="PATH", help="file or folder, see below")
    test.add_argument("--truth", type=Path, metavar="FILE", help="known faults, read after detection")
    test.add_argument("--findings", type=Path, metavar="FILE", help="write every finding to this CSV file")
    test.add_argument("--report", type=Path, metavar="FILE", help="write a report with pictures (HTML)")
    test.add_argument("--calibrate", action="store_true", help="fit the failure risk to this history")
    test.add_argument("--out-risk", type=Path, metavar="FILE", help="write it as settings of the service")
    test.add_argument("--second-opinion", action="store_true", help="compare with an isolation forest")
    test.add_argument("--json", action="store_true", help="print the report as JSON")
    test.add_argument(
        "--work", type=Path, metavar="DIR", help="keep finished parts there, so that a rerun skips them"
    )
    _configure_plan(test)
    train = verb("train", "learn from history: what is usual, models of nodes, the failure risk", _TRAIN)
    train.add_argument("--input", type=Path, metavar="PATH", help="file or folder, as for backtest")
    train.add_argument("--history-from-prometheus", metavar="URL", help="fetch the history first")
    train.add_argument("--from", dest="begin", metavar="TIME", help="2026-10-01 or 2026-10-01T12:00:00Z")
    train.add_argument("--to", dest="end", metavar="TIME", help="default: now")
    train.add_argument(
        "--step", type=_duration, default=60.0, metavar="DURATION", help="of the history, default 60s"
    )
    train.add_argument("--truth", type=Path, metavar="FILE", help="known failures, for the failure risk")
    train.add_argument("--out", type=Path, required=True, metavar="DIR", help="where models and cards go")
    train.add_argument("--json", action="store_true", help="print the model cards as JSON")
    _configure_plan(train)
    verb("compile", "compile what scores ahead, so that the first start of the service is quick")


def _configure_serve(serve: ArgumentParser) -> None:
    serve.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML")
    serve.add_argument("--prometheus", metavar="URL", help="default http://127.0.0.1:9090")
    serve.add_argument("--state", type=Path, metavar="DIR", help="where the state is kept")
    serve.add_argument("--listen", metavar="ADDR", help="HOST:PORT or :PORT, default :9612")
    serve.add_argument("--interval", type=_duration, metavar="DURATION", help="time between runs, default 5s")
    serve.add_argument("--model", type=Path, metavar="FILE", help="nodes/nodes.npz that `train` made")
    serve.add_argument("--inventory", type=Path, metavar="FILE", help="the site: tells what capacity is left")
    serve.add_argument("--shard", metavar="I/N", help="score only this share of the nodes, such as 0/4")


def _configure_plan(parser: ArgumentParser) -> None:
    parser.add_argument("--dask", default="", metavar="ADDR", help="cluster to work on, as tcp://HOST:8786")
    parser.add_argument(
        "--parts", type=_count, metavar="N", help="cut the fleet into N parts (default: by size and cores)"
    )
    parser.add_argument(
        "--by", default="auto", choices=("auto", "loop", "rack", "node"),
        help="what keeps nodes in one part: their rack and loop (auto), one of them, or nothing (node)",
    )  # fmt: skip
    parser.add_argument(
        "--align", type=_duration, default=0.0, metavar="DURATION",
        help="put times on a grid, where things report at moments of their own",
    )  # fmt: skip
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="folder for what does not fit into memory"
    )


def _run(arguments: Namespace) -> int:
    verbs = {
        "serve": _serve, "score": _score, "backtest": _backtest, "train": _train, "mark": run_mark,
        "compile": _compile,
    }  # fmt: skip
    return verbs[arguments.verb](arguments)


def _compile(_: Namespace) -> int:
    from analytics.serving.warm import compile_all

    for name, problem in compile_all().items():
        raise UserError(f"detector {name} failed on a made-up fleet: {problem}")
    return 0


def _serve(arguments: Namespace) -> int:
    from analytics.serving.serve import serve_forever
    from analytics.serving.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = load_settings(arguments.config, environment())
    given: dict[str, Any] = {
        name: value
        for name in ("state", "listen", "interval", "inventory", "shard", "model")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.prometheus:
        given["prometheus"] = settings.prometheus.model_copy(update={"url": arguments.prometheus})
    return serve_forever(settings.model_copy(update=given))


def _score(arguments: Namespace) -> int:
    if arguments.train is not None or _is_table(arguments.input):
        from analytics.score_many import score_table

        rows = score_table(arguments.input, arguments.output, arguments.train)
    else:
        from analytics.score import score_file

        rows = score_file(arguments.input, arguments.output)
    if sys.stdout.isatty():
        print(f"{rows} rows scored: {arguments.output}")
    return 0


def _is_table(path: Path) -> bool:
    """Whether a CSV file has several value columns and none that is called `value`."""
    from analytics.files import csv_header

    if path.suffix in (".parquet", ".npz"):
        return True
    if not path.exists():
        return False
    header = csv_header(path)
    return "timestamp" in header and "value" not in header and len(header) > 2


def _plan(arguments: Namespace, work: Path | None, states: bool = False) -> Plan:
    from analytics.training.jobs import Plan

    if arguments.scratch is not None and not arguments.scratch.is_dir():
        raise UserError(f"--scratch {arguments.scratch}: is not a folder; make it first")
    return Plan(
        arguments.parts or 0, arguments.by, arguments.dask, work, arguments.scratch, arguments.align, states
    )


def _backtest(arguments: Namespace) -> int:
    from analytics.evaluation.backtest import Wanted, backtest, table
    from analytics.progress import Line

    fit = arguments.calibrate or arguments.out_risk is not None
    if (fit or arguments.second_opinion) and arguments.truth is None:
        raise UserError(
            "--calibrate, --out-risk and --second-opinion compare with known faults: give --truth FILE"
        )
    wanted = Wanted(arguments.report, arguments.out_risk, _plan(arguments, arguments.work))
    line = Line()
    try:
        report = backtest(
            arguments.input, arguments.truth, arguments.findings, fit, arguments.second_opinion, wanted, line
        )
    finally:
        line.clear()
    print(json.dumps(report, indent=2) if arguments.json else table(report))
    return 0


def _train(arguments: Namespace) -> int:
    from analytics.progress import Line
    from analytics.training.history import Span, parse_time
    from analytics.training.train import Order, summary, train

    asked = arguments.history_from_prometheus
    if (arguments.input is None) == (asked is None):
        raise UserError("train: give either --input PATH or --history-from-prometheus URL")
    span = None
    if asked is not None:
        if arguments.begin is None:
            raise UserError("--history-from-prometheus: give --from TIME as well, such as --from 2026-10-01")
        span = Span(parse_time(arguments.begin, "--from"), parse_time(arguments.end, "--to"), arguments.step)
    plan = _plan(arguments, arguments.out / "work", True)
    order = Order(arguments.input, asked, span, arguments.out, arguments.truth, plan)
    line = Line()
    try:
        cards = train(order, line)
    finally:
        line.clear()
    print(json.dumps(cards, indent=2) if arguments.json else summary(cards, arguments.out))
    return 0


ANALYTICS = Command(
    summary="score the fleet: anomalies, thermal resistance, time to throttle, incidents",
    example="gigawatch analytics serve --prometheus http://127.0.0.1:9090 --state .gigawatch/analytics",
    configure=_configure,
    run=_run,
)
