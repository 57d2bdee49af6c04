"""`gigawatch viewer`: the dashboards in a browser, without Grafana."""

from __future__ import annotations

import argparse
import signal
import threading
from argparse import ArgumentParser, Namespace
from pathlib import Path

from gigawatch.command import Command
from gigawatch.config.load import parse_duration
from gigawatch.errors import UserError


def _duration(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' must be above 0")
    return seconds


def _configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--prometheus", required=True, metavar="URL", help="Prometheus, or a server with its API"
    )
    parser.add_argument(
        "--alertmanager", metavar="URL", help="where firing alerts are read (default: Prometheus)"
    )
    parser.add_argument("--pager", metavar="URL", help="local pager whose open pages the overview shows")
    parser.add_argument(
        "--analytics", metavar="URL", help="analytics service whose findings are shown and can be marked"
    )
    parser.add_argument(
        "--web-config", type=Path, metavar="FILE", help="TLS and basic auth, in the format of Prometheus"
    )
    parser.add_argument(
        "--dashboards",
        type=Path,
        metavar="DIR",
        default=Path(__file__).parent / "generated",
        help="folder of Grafana dashboards in JSON (default: the ones Gigawatch ships)",
    )
    parser.add_argument(
        "--runbooks", type=Path, metavar="DIR", help="folder of runbooks in Markdown, shown below /runbooks/"
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:9614", metavar="HOST:PORT", help="default: %(default)s"
    )
    parser.add_argument(
        "--scrape-interval",
        type=_duration,
        default=5.0,
        metavar="DURATION",
        help="how often Prometheus scrapes, the shortest useful step of a chart (default: 5s)",
    )
    parser.add_argument(
        "--timeout",
        type=_duration,
        default=10.0,
        metavar="DURATION",
        help="longest wait for an answer of Prometheus (default: 10s)",
    )


def _run(args: Namespace) -> int:
    from dashboards.viewer import Settings, build_app
    from gigawatch.serving import load_web_config, serve

    if not args.dashboards.is_dir():
        raise UserError(
            f"--dashboards: '{args.dashboards}' is not a folder; generate dashboards with: gigawatch build"
        )
    web = load_web_config(args.web_config) if args.web_config else None
    settings = Settings(
        dashboards=args.dashboards,
        prometheus=args.prometheus,
        alertmanager=args.alertmanager,
        pager=args.pager,
        analytics=args.analytics,
        trust_user=web is not None and not web.authorized(""),
        runbooks=args.runbooks,
        scrape_interval=args.scrape_interval,
        deadline=args.timeout,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    running = serve(build_app(settings), args.listen, web)
    print(f"viewer on {running.url}/", flush=True)
    stop.wait()
    running.close()
    return 0


VIEWER = Command(
    summary="show the dashboards in a browser, without Grafana",
    example="gigawatch viewer --prometheus http://127.0.0.1:9090 --alertmanager http://127.0.0.1:9093",
    configure=_configure,
    run=_run,
)
