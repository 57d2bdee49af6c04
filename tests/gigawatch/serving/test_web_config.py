"""TLS, client certificates and basic auth, with real certificates and real requests."""

from __future__ import annotations

import base64
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from gigawatch.errors import UserError
from gigawatch.serving import App, Request, Response, Running, load_web_config, serve

PASSWORD = "correct horse"


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.pem signed by itself for 127.0.0.1; ca.pem that has signed client.pem."""
    where = tmp_path_factory.mktemp("pki")
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name, subject in (
        ("server", "/CN=127.0.0.1"),
        ("ca", "/CN=test authority"),
        ("stranger", "/CN=stranger"),
    ):
        extra = ("-addext", "subjectAltName=IP:127.0.0.1") if name == "server" else ()
        openssl(
            *new, "-keyout", str(where / f"{name}.key"), "-out", str(where / f"{name}.pem"), "-subj", subject,
            *extra,
        )  # fmt: skip
    openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=prometheus",
        "-keyout", str(where / "client.key"), "-out", str(where / "client.csr"),
    )  # fmt: skip
    openssl(
        "x509", "-req", "-in", str(where / "client.csr"), "-CA", str(where / "ca.pem"),
        "-CAkey", str(where / "ca.key"), "-CAcreateserial", "-days", "2", "-out", str(where / "client.pem"),
    )  # fmt: skip
    return where


def app() -> App:
    made = App()
    made.route("GET", "/metrics", lambda _: Response.text("x 1\n" * 1000))

    def echo(request: Request) -> Response:
        return Response.text(request.headers.get("authorization", ""))

    made.route("GET", "/echo", echo)
    return made


@pytest.fixture
def start() -> Iterator[object]:
    running: list[Running] = []

    def begin(config: Path) -> Running:
        running.append(serve(app(), "127.0.0.1:0", load_web_config(config)))
        return running[-1]

    yield begin
    for server in running:
        server.close()


def get(url: str, context: ssl.SSLContext | None = None, user: str = "", password: str = "") -> int:
    request = urllib.request.Request(url)
    if user:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "server.pem"))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_tls_and_basic_auth_together(start, certificates: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(12)).decode()
    config = write(
        certificates / "both.yaml",
        "tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: TLS13}\n"
        f"basic_auth_users: {{prometheus: {hashed}}}\n",
    )
    server = start(config)
    assert server.url.startswith("https://")
    context = trusting(certificates)
    assert get(f"{server.url}/metrics", context) == 401
    assert get(f"{server.url}/metrics", context, "prometheus", "wrong") == 401
    assert get(f"{server.url}/metrics", context, "nobody", PASSWORD) == 401
    assert get(f"{server.url}/metrics", context, "prometheus", PASSWORD) == 200
    began = time.monotonic()
    assert bcrypt.checkpw(PASSWORD.encode(), hashed.encode())
    costs = time.monotonic() - began
    quickest = float("inf")
    for _ in range(5):
        began = time.monotonic()
        assert get(f"{server.url}/metrics", context, "prometheus", PASSWORD) == 200
        quickest = min(quickest, time.monotonic() - began)
    assert quickest < costs / 2, "a password that was right once must not cost a bcrypt each time"
    with pytest.raises(OSError):  # noqa: PT011 - any refusal will do
        urllib.request.urlopen(server.url.replace("https", "http"), timeout=30)
    old = trusting(certificates)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(urllib.error.URLError):
        get(f"{server.url}/metrics", old, "prometheus", PASSWORD)


def test_client_certificates_are_asked_for(start, certificates: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    config = write(
        certificates / "mutual.yaml",
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
        "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n",
    )
    server = start(config)
    known = trusting(certificates)
    known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    assert get(f"{server.url}/metrics", known) == 200
    stranger = trusting(certificates)
    stranger.load_cert_chain(certificates / "stranger.pem", certificates / "stranger.key")
    for refused in (trusting(certificates), stranger):
        with pytest.raises(OSError):  # noqa: PT011 - the alert arrives as one of several kinds of OSError
            get(f"{server.url}/metrics", refused)
    assert get(f"{server.url}/metrics", known) == 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls_server_config: {cert_file: none.pem, key_file: none.key}", "tls_server_config.cert_file"),
        ("tls_server_config: {cert_file: server.pem}", "tls_server_config.key_file"),
        (
            (
                "tls_server_config: {cert_file: server.pem, key_file: server.key,"
                " client_auth_type: RequireAndVerifyClientCert}"
            ),
            "client_ca_file: is missing",
        ),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: SSL3}",
            "min_version",
        ),
        ("basic_auth_users: {me: plaintext}", "basic_auth_users.me: is not a bcrypt hash"),
        ("basic_auth: {}", "basic_auth: is not a known field"),
    ],
)
def test_a_wrong_file_is_explained_in_one_line(certificates: Path, text: str, told: str) -> None:
    path = write(certificates / "wrong.yaml", text + "\n")
    with pytest.raises(UserError) as caught:
        load_web_config(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "plaintext" not in str(caught.value)
