"""What a scrape costs: rendering a whole simulated site, and answering over HTTP. Prints JSON.

python benchmarks/scrape_cost.py --blueprint full-scale
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
import urllib.request

from exporters.runtime import Page
from exporters.simulated import Simulated, SimulatedProducer, open_plant
from gigawatch.serving import App, serve, to_openmetrics
from gigawatch.topology import blueprint, blueprint_names


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blueprint", choices=blueprint_names(), default="starter")
    parser.add_argument("--ticks", type=int, default=5)
    args = parser.parse_args()

    simulated = Simulated(blueprint(args.blueprint), "agent", 5.0)
    view = open_plant(simulated.inventory)
    producer = SimulatedProducer(simulated, view)
    producer.frame()  # fills the caches that live as long as the process
    refresh, render = [], []
    frame = producer.frame()
    for _ in range(args.ticks):
        began = time.process_time()
        view.refresh()
        refreshed = time.process_time()
        frame = producer.frame()
        done = time.process_time()
        refresh.append(refreshed - began)
        render.append(done - refreshed)
    texts = {name: gzip.decompress(page.text) for name, page in frame.pages.items() if page.text}
    series = sum(line[:1] not in (b"#", b"") for text in texts.values() for line in text.splitlines())
    first = next(iter(texts.values()))
    began = time.perf_counter()
    to_openmetrics(first)
    converted = time.perf_counter() - began

    result = {
        "blueprint": args.blueprint,
        "nodes": len(texts),
        "series": series,
        "bytes_plain": sum(map(len, texts.values())),
        "bytes_gzip": sum(len(page.text) for page in frame.pages.values()),
        "plant_refresh_cpu_seconds": round(statistics.median(refresh), 4),
        "render_all_cpu_seconds": round(statistics.median(render), 4),
        "openmetrics_one_page_seconds": round(converted, 6),
        "http_one_page": {
            "text": _http(first, "text/plain"),
            "openmetrics_gzip": _http(first, "application/openmetrics-text; version=1.0.0", "gzip"),
        },
    }
    print(json.dumps(result, indent=2))


def _http(text: bytes, accept: str, encoding: str = "identity") -> dict[str, float]:
    """Median and worst of 200 scrapes of one page over loopback."""
    page = Page(text)
    app = App()
    app.route("GET", "/metrics", page.answer)
    running = serve(app, "127.0.0.1:0")
    times = []
    try:
        for _ in range(200):
            request = urllib.request.Request(
                f"{running.url}/metrics", headers={"Accept": accept, "Accept-Encoding": encoding}
            )
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read()
            times.append(time.perf_counter() - began)
    finally:
        running.close()
    return {
        "median_milliseconds": round(1e3 * statistics.median(times), 3),
        "worst_milliseconds": round(1e3 * max(times), 3),
    }


if __name__ == "__main__":
    main()
