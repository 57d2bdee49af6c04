"""TLS, client certificates and basic auth, with real certificates and real requests."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from gigawatch.errors import UserError
from gigawatch.serving import App, Request, Response, Running, WebConfig, load_web_config, serve

PASSWORD = "correct horse"


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def rsa(where: Path) -> Path:
    openssl("genrsa", "-out", str(where / "rsa.key"), "2048")
    return where / "rsa.key"


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
        "-extfile", str(write(where / "names", "subjectAltName=DNS:prometheus.example,IP:10.0.0.7\n")),
    )  # fmt: skip
    openssl("rsa", "-aes256", "-passout", "pass:x", "-in", str(rsa(where)), "-out", str(where / "locked.key"))
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

    def begin(config: Path | WebConfig) -> Running:
        web = config if isinstance(config, WebConfig) else load_web_config(config)
        running.append(serve(app(), "127.0.0.1:0", web))
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
        ("tls_server_config: {cert_file: server.pem, key_file: locked.key}", "tls_server_config.cert_file"),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem}",
            "client_auth_type: is missing",
        ),
        (
            (
                "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem,"
                " client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [a]}"
            ),
            "client_allowed_sans: has no effect",
        ),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, cipher_suites: [TLS_NULL]}",
            "'TLS_NULL' is no cipher suite",
        ),
        (
            "tls_server_config: {cert_file: server.pem, key_file: server.key, cert: PEM}",
            "cert: stands beside cert_file",
        ),
        (
            (
                "tls_server_config: {cert_file: server.pem, key_file: server.key,"
                " min_version: TLS13, max_version: TLS12}"
            ),
            "min_version: is above max_version TLS12",
        ),
        ("http_server_config: {headers: {X-Other: a}}", "'X-Other' is not among the headers"),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", "allowed: deny, sameorigin"),
        ('http_server_config: {headers: {Content-Security-Policy: "a\\nb"}}', "no header may hold"),
        ("rate_limit: {interval: often, burst: 1}", "rate_limit.interval"),
    ],
)
def test_a_wrong_file_is_explained_in_one_line(certificates: Path, text: str, told: str) -> None:
    path = write(certificates / "wrong.yaml", text + "\n")
    with pytest.raises(UserError) as caught:
        load_web_config(path)
    assert told in str(caught.value), str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "plaintext" not in str(caught.value)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    for text in (
        "basic_auth_users: {me: 12345}",
        "basic_auth_users: {me: [hunter2]}",
        "basic_auth_users: hunter2",
    ):
        with pytest.raises(UserError) as caught:
            load_web_config(write(tmp_path / "web.yaml", text))
        assert "basic_auth_users" in str(caught.value)
        assert "12345" not in str(caught.value)
        assert "hunter2" not in str(caught.value)


SERVER = "cert_file: {where}/server.pem\n  key_file: {where}/server.key\n"


def test_only_clients_with_an_allowed_name_come_in(start, certificates: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    known = trusting(certificates)
    known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    for names, welcome in (("prometheus.example", True), ("10.0.0.7", True), ("other.example", False)):
        config = write(
            tmp_path / "names.yaml",
            f"tls_server_config:\n  {SERVER.format(where=certificates)}"
            f"  client_ca_file: {certificates}/ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
            f"  client_allowed_sans: [spare.example, {names}]\n",
        )
        server = start(config)
        if welcome:
            assert get(f"{server.url}/metrics", known) == 200
        else:
            with pytest.raises(OSError):  # noqa: PT011 - the end arrives as one of several kinds of OSError
                get(f"{server.url}/metrics", known)


@pytest.mark.parametrize(
    ("policy", "without", "stranger"),
    [
        ("client_auth_type: RequestClientCert", True, True),
        ("client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: {where}/ca.pem", True, False),
        ("client_auth_type: RequireAnyClientCert\n  client_ca_file: {where}/ca.pem", False, False),
    ],
)
def test_policies_for_client_certificates(  # type: ignore[no-untyped-def] # fixture of a function
    start, certificates: Path, tmp_path: Path, policy: str, without: bool, stranger: bool
) -> None:
    text = f"tls_server_config:\n  {SERVER}  {policy}\n".format(where=certificates)
    server = start(write(tmp_path / "web.yaml", text))
    foreign = trusting(certificates)
    foreign.load_cert_chain(certificates / "stranger.pem", certificates / "stranger.key")
    for context, welcome in ((trusting(certificates), without), (foreign, stranger)):
        if welcome:
            assert get(f"{server.url}/metrics", context) == 200
        else:
            with pytest.raises(OSError):  # noqa: PT011 - the alert arrives as one of several kinds of OSError
                get(f"{server.url}/metrics", context)


def test_ciphers_versions_and_curve_are_those_of_the_file(start, certificates: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    server = start(
        write(
            tmp_path / "web.yaml",
            f"tls_server_config:\n  {SERVER.format(where=certificates)}"
            f"  max_version: TLS12\n  cipher_suites: [{suite}]\n  curve_preferences: [CurveP384]\n"
            "  prefer_server_cipher_suites: false\n",
        )
    )
    with (
        socket.create_connection((server.host, server.port), 30) as plain,
        trusting(certificates).wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() == "TLSv1.2"
        cipher = secured.cipher()
        assert cipher is not None
        assert cipher[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    weak = trusting(certificates)
    weak.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(urllib.error.URLError):
        get(f"{server.url}/metrics", weak)


def test_certificate_and_key_may_stand_in_the_file_itself(start, certificates: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    text = "tls_server_config:\n  client_auth_type: RequireAndVerifyClientCert\n"
    for field, name in (("cert", "server.pem"), ("key", "server.key"), ("client_ca", "ca.pem")):
        pem = (certificates / name).read_text().replace("\n", "\n    ").rstrip(" ")
        text += f"  {field}: |\n    {pem}"
    server = start(write(tmp_path / "web.yaml", text))
    known = trusting(certificates)
    known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
    assert get(f"{server.url}/metrics", known) == 200


def test_headers_and_rate_limit(start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    config = "http_server_config: {http2: false, headers: {X-Frame-Options: deny, X-XSS-Protection: ''}}\n"
    server = start(write(tmp_path / "web.yaml", config + "rate_limit: {interval: 1h, burst: 2}\n"))
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["X-XSS-Protection"] is None
    assert [get(f"{server.url}/-/healthy") for _ in range(2)] == [200, 429]


def test_changes_are_taken_in_while_it_runs(start, certificates: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    def hashed(password: str) -> str:
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()

    tls = f"tls_server_config:\n  {SERVER.format(where=tmp_path)}"
    for name in ("server.pem", "server.key"):
        shutil.copy(certificates / name, tmp_path / name)
    config = write(tmp_path / "web.yaml", f"{tls}basic_auth_users: {{me: {hashed('one')}}}\n")
    web = WebConfig(config, every=0.0)
    server = start(web)
    context = trusting(certificates)
    url = f"{server.url}/metrics"
    assert get(url, context, "me", "one") == 200
    write(config, f"{tls}basic_auth_users: {{me: {hashed('two!')}}}\n")
    assert get(url, context, "me", "one") == 401, "a password that is no longer right was remembered"
    assert get(url, context, "me", "two!") == 200
    assert web.failures == 0
    for text, told in (
        ("basic_auth_users: {me: plain}", "not a bcrypt hash"),
        ("basic_auth_users: [", "not valid YAML"),
        (f"basic_auth_users: {{me: {hashed('three')}}}", "cannot come or go"),
    ):
        before = web.failures
        write(config, (tls if "three" not in text and "come" not in told else "") + text + "\n")
        for _ in range(3):
            assert get(url, context, "me", "two!") == 200, "the settings before stay in use"
        assert web.failures == before + 1, "counted once, however many requests come"
        assert told in web.problem
    config.unlink()
    assert get(url, context, "me", "two!") == 200
    assert "cannot be read" in web.problem
    write(config, f"{tls}basic_auth_users: {{me: {hashed('four')}}}\n")
    assert get(url, context, "me", "four") == 200
    assert web.problem == ""
    # A renewed certificate: another authority's, so that the client who knows only the old one refuses it.
    for kind in ("pem", "key"):
        shutil.copy(certificates / f"stranger.{kind}", tmp_path / f"server.{kind}")
    with pytest.raises(urllib.error.URLError):
        get(url, context, "me", "four")
    renewed = ssl.create_default_context(cafile=str(certificates / "stranger.pem"))
    renewed.check_hostname = False
    assert get(url, renewed, "me", "four") == 200


SLIM = """
import sys
from pathlib import Path
from gigawatch.serving import App, load_web_config, serve

running = serve(App(), "127.0.0.1:0", load_web_config(Path(sys.argv[1])))
print(sorted({"pydantic", "yaml"} & sys.modules.keys()), running.url)
"""


def test_a_server_with_tls_carries_no_validator(certificates: Path, tmp_path: Path) -> None:
    good = f"tls_server_config:\n  {SERVER.format(where=certificates)}"
    good += "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"
    config = write(tmp_path / "web.yaml", good)
    command = [sys.executable, "-c", SLIM, str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("[] https://127.0.0.1:"), done.stderr
    write(config, good + "  colour: blue\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert f"{config}:5: tls_server_config.colour: is not a known field" in done.stderr


def test_a_flood_of_wrong_passwords_does_not_hold_up_prometheus(start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def] # fixture of a function
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(13)).decode()
    server = start(write(tmp_path / "web.yaml", f"basic_auth_users: {{prometheus: {hashed}}}\n"))
    began = time.monotonic()
    assert get(f"{server.url}/metrics", None, "prometheus", PASSWORD) == 200
    costs = time.monotonic() - began
    flood = [
        threading.Thread(target=get, args=(f"{server.url}/metrics", None, "prometheus", f"wrong {n}"))
        for n in range(12)
    ]
    for thread in flood:
        thread.start()
    began = time.monotonic()
    assert get(f"{server.url}/metrics", None, "prometheus", PASSWORD) == 200
    took = time.monotonic() - began
    for thread in flood:
        thread.join()
    assert took < 6 * costs, "twelve checks were waited for"
