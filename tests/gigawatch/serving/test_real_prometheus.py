"""A real Prometheus scrapes a server with TLS, client certificates and basic auth, rightly and wrongly."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from gigawatch.serving import App, Response, free_port, load_web_config, serve

PASSWORD = "correct horse: battery"
NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

pytestmark = pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the program prometheus")


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and what it has signed: server, client, and one of each that has expired."""
    at = tmp_path_factory.mktemp("pki")
    openssl(
        "req", "-x509", *NEW, "-days", "9", "-subj", "/CN=ca", "-keyout", at / "ca.key", "-out", at / "ca.pem"
    )
    (at / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    (at / "db").write_text("")
    (at / "ca.conf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={at}/db\nnew_certs_dir={at}\ncertificate={at}/ca.pem\n"
        f"private_key={at}/ca.key\nrand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
        "[p]\ncommonName=supplied\n"
    )
    for name, end in (
        ("server", "20990101000000Z"),
        ("client", "20990101000000Z"),
        ("old-server", "20200102000000Z"),
        ("old-client", "20200102000000Z"),
    ):
        openssl(
            "req", *NEW, "-subj", f"/CN={name}", "-keyout", at / f"{name}.key", "-out", at / f"{name}.csr"
        )
        openssl(
            "ca", "-batch", "-notext", "-config", at / "ca.conf", "-in", at / f"{name}.csr",
            "-out", at / f"{name}.pem", "-startdate", "20200101000000Z", "-enddate", end,
            "-extfile", at / "names",
        )  # fmt: skip
    return at


def _server(pki: Path, config: Path, certificate: str) -> Iterator[int]:
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(6)).decode()
    config.write_text(
        f"tls_server_config:\n  cert_file: {pki}/{certificate}.pem\n  key_file: {pki}/{certificate}.key\n"
        f"  client_ca_file: {pki}/ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
        f"basic_auth_users: {{prometheus: {hashed}}}\n"
    )
    app = App()
    app.route("GET", "/metrics", lambda _: Response.text("# TYPE here gauge\nhere 1\n"))
    running = serve(app, "127.0.0.1:0", load_web_config(config))
    yield running.port
    running.close()


@pytest.fixture
def good(pki: Path, tmp_path: Path) -> Iterator[int]:
    yield from _server(pki, tmp_path / "good.yaml", "server")


@pytest.fixture
def expired(pki: Path, tmp_path: Path) -> Iterator[int]:
    yield from _server(pki, tmp_path / "expired.yaml", "old-server")


def _job(
    name: str, port: int, pki: Path, client: str, password: str, scheme: str = "https"
) -> dict[str, Any]:
    tls = {"ca_file": f"{pki}/ca.pem"}
    if client:
        tls |= {"cert_file": f"{pki}/{client}.pem", "key_file": f"{pki}/{client}.key"}
    return {
        "job_name": name,
        "scheme": scheme,
        "basic_auth": {"username": "prometheus", "password": password},
        "tls_config": tls,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }


def test_what_prometheus_meets(good: int, expired: int, pki: Path, tmp_path: Path) -> None:
    jobs = [
        _job("right", good, pki, "client", PASSWORD),
        _job("wrong-password", good, pki, "client", "wrong"),
        _job("no-certificate", good, pki, "", PASSWORD),
        _job("expired-client", good, pki, "old-client", PASSWORD),
        _job("expired-server", expired, pki, "client", PASSWORD),
        _job("plain", good, pki, "", PASSWORD, "http"),
    ]
    # Prometheus reads JSON as the YAML that it is.
    (tmp_path / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs})
    )
    port = free_port(29090)
    command = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as prometheus,
    ):
        try:
            told = _targets(port, {job["job_name"] for job in jobs}, tmp_path / "log")
        finally:
            prometheus.kill()
    assert told.pop("right") == ("up", "")
    assert {health for health, _ in told.values()} == {"down"}
    assert "401" in told["wrong-password"][1]
    assert "certificate required" in told["no-certificate"][1]
    assert "expired" in told["expired-client"][1]
    assert "expired" in told["expired-server"][1]
    assert told["plain"][1]


def _targets(port: int, wanted: set[str], log: Path) -> dict[str, tuple[str, str]]:
    """Health and last error by job, once each has been scraped and the right one has succeeded."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/targets", timeout=10) as answer:
                found = json.load(answer)["data"]["activeTargets"]
        except OSError:
            found = []
        told = {t["labels"]["job"]: (t["health"], t["lastError"]) for t in found if t["health"] != "unknown"}
        # On a crowded machine a single scrape may run into its time limit.
        if told.keys() == wanted and not any("deadline exceeded" in error for _, error in told.values()):
            return told
        assert time.monotonic() < deadline, f"{told}\n{log.read_text()[-2000:]}"
        time.sleep(0.2)
