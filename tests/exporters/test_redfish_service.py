"""How a Redfish service lets us in, what it can do, and each way in which asking it fails."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from redfish_peers import ROOT, Clock, RedfishServer, ask, series, wiring

from exporters.facility.driver import PollError, Reason, Secret
from exporters.facility.redfish import make
from gigawatch.topology import Role

CDU = f"{ROOT}/ThermalEquipment/CDUs/cdu-1"


@pytest.fixture(scope="module")
def running() -> Iterator[RedfishServer]:
    server = RedfishServer().start()
    yield server
    server.stop()


@pytest.fixture
def server(running: RedfishServer) -> RedfishServer:
    running.reset()
    return running


def reason(address: str, role: Role = Role.CDU, path: str = CDU, **more: object) -> Reason:
    with pytest.raises(PollError) as caught:
        ask(address, role, path, **more)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def gets(server: RedfishServer, of: str = "") -> int:
    return sum(1 for line in server.asked if line.startswith("GET") and of in line)


# Letting in
def test_one_session_for_all_devices_of_a_service_and_none_left_behind(server: RedfishServer) -> None:
    server.protect("monitor", "s3cret")
    shared: dict[str, object] = {}
    secret = Secret("monitor", "s3cret")

    async def run() -> None:
        paths = ((Role.CDU, CDU), (Role.BMC, f"{ROOT}/Chassis/n01"), (Role.SENSOR, f"{ROOT}/Chassis/room"))
        drivers = [make(wiring(server.url, role, path, secret, shared=shared)) for role, path in paths]
        assert all(polled.readings for polled in await asyncio.gather(*(d.poll() for d in drivers)))
        await asyncio.gather(*(d.poll() for d in drivers))
        assert (server.logins, len(server.sessions)) == (1, 1)
        for driver in drivers:
            await driver.close()

    asyncio.run(run())
    assert server.logins == 1
    assert not server.sessions


def test_a_session_that_ended_is_made_again(server: RedfishServer) -> None:
    server.protect("monitor", "s3cret")

    async def run() -> None:
        driver = make(wiring(server.url, Role.CDU, CDU, Secret("monitor", "s3cret")))
        await driver.poll()
        server.sessions.clear()
        assert (await driver.poll()).readings
        await driver.close()

    asyncio.run(run())
    assert server.logins == 2


@pytest.mark.parametrize("secret", [Secret("monitor", "s3cret"), Secret(bearer="s3cret")])
def test_basic_where_no_session_is_left_and_bearer(server: RedfishServer, secret: Secret) -> None:
    server.protect("monitor", "s3cret")
    server.gives_sessions = False
    assert ask(server.url, Role.CDU, CDU, secret=secret).readings
    assert server.logins == (1 if secret.username else 0)


def test_wrong_credentials_are_not_tried_again_at_once(server: RedfishServer) -> None:
    server.protect("monitor", "s3cret")

    async def run() -> None:
        driver = make(wiring(server.url, Role.CDU, CDU, Secret("monitor", "wrong")))
        for _ in range(3):
            with pytest.raises(PollError) as caught:
                await driver.poll()
            assert caught.value.reason is Reason.AUTH
            assert "wrong" not in str(caught.value)
        await driver.close()

    asyncio.run(run())
    assert server.logins == 1  # accounts get locked


# Cheap paths
def test_expand_is_used_where_it_is_honest(server: RedfishServer) -> None:
    plain = series(ask(server.url, Role.CDU, CDU))  # it announces ExpandAll, and ignores the question
    asked_plainly = gets(server)
    server.asked.clear()
    server.expands = True
    assert series(ask(server.url, Role.CDU, CDU)) == plain
    assert gets(server) < asked_plainly - 6
    assert gets(server, "/Pumps/") == 0


def test_a_service_that_only_says_it_expands_is_asked_once(server: RedfishServer) -> None:
    clock = Clock()

    async def run() -> list[int]:
        driver = make(wiring(server.url, Role.CDU, CDU, clock=clock))
        counts = []
        for _ in range(3):
            server.asked.clear()
            await driver.poll()
            counts.append(gets(server, "$expand"))
            clock.ahead += 400.0  # lists are due again
        await driver.close()
        return counts

    first, *later = asyncio.run(run())
    assert 1 <= first <= 2  # two are under way before the first has shown it
    assert later == [0, 0]


def test_what_changes_seldom_is_not_asked_every_time(server: RedfishServer) -> None:
    async def run() -> None:
        driver = make(wiring(server.url, Role.BMC, f"{ROOT}/Chassis/n01"))
        first = series(await driver.poll())
        server.asked.clear()
        assert series(await driver.poll()) == first
        assert (
            gets(server, "Sensors/cpu0")
            == gets(server, "/PowerSubsystem HTTP")
            == gets(server, "/Managers")
            == 0
        )
        assert gets(server, "Sensors/inlet") == 1
        await driver.close()

    asyncio.run(run())


def test_no_more_than_two_questions_at_a_time(server: RedfishServer) -> None:
    under_way = most = 0

    async def slow(_: web.Request) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.003)
        under_way -= 1

    server.behave = slow
    assert ask(server.url, Role.BMC, f"{ROOT}/Chassis/n01").readings
    assert most == 2


# One part is ill
def test_a_part_that_fails_takes_nothing_else_with_it(server: RedfishServer) -> None:
    async def broken(request: web.Request) -> web.Response | None:
        if request.path.endswith("/Pumps/1"):
            return web.Response(status=500)
        if request.path.endswith("/Reservoirs"):
            return web.Response(text="<html>", content_type="text/html")
        return web.json_response([]) if request.path.endswith("/EnvironmentMetrics") else None

    server.behave = broken
    polled = ask(server.url, Role.CDU, CDU)
    found = series(polled)
    assert polled.dropped == {"error": 3}
    assert found["heat_removed_watts{tcs}"] == 120_700.0
    assert not [name for name in found if "pump1" in name or "reservoir" in name or "dew" in name]


def test_a_value_is_gone_with_the_part_that_said_it(server: RedfishServer) -> None:
    async def run() -> None:
        driver = make(wiring(server.url, Role.CDU, CDU))
        assert "pump_speed_ratio{pump1}" in series(await driver.poll())
        del server.resources[f"{CDU}/Pumps/1"]
        assert "pump_speed_ratio{pump1}" not in series(await driver.poll())
        await driver.close()

    asyncio.run(run())


def test_one_silent_connector_makes_no_half_of_a_flow(server: RedfishServer) -> None:
    server.resources[f"{CDU}/PrimaryCoolantConnectors/2"]["FlowLitersPerMinute"]["Reading"] = None
    found = series(ask(server.url, Role.CDU, CDU))
    assert "coolant_flow_cubic_meters_per_second{fws}" not in found
    assert "coolant_flow_cubic_meters_per_second{tcs}" in found


def test_wrong_types_are_counted(server: RedfishServer) -> None:
    pump = server.resources[f"{CDU}/Pumps/1"]
    pump["PumpSpeedPercent"] = {"Reading": {"x": 1}}
    pump["Status"]["Health"] = "Splendid"
    polled = ask(server.url, Role.CDU, CDU)
    assert polled.dropped == {"no_number": 2, "error": 1}  # speed, running; health


# Every reason
def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert reason(f"http://127.0.0.1:{taken.getsockname()[1]}") is Reason.REFUSED


def test_no_such_host() -> None:
    assert reason("https://no-such-host.invalid") is Reason.UNREACHABLE


def test_no_address() -> None:
    for address in ("ftp://h", "https://", "https://u:p@h", "https://h:99999"):
        assert reason(address) is Reason.PROFILE


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda: web.Response(status=500), Reason.HTTP),
        (lambda: web.Response(status=404), Reason.HTTP),
        (lambda: web.Response(status=401), Reason.AUTH),
        (lambda: web.Response(status=403), Reason.AUTH),
        (lambda: web.Response(status=501), Reason.PROTOCOL),
        (lambda: web.json_response({"error": {"code": "Base.1.8.InternalError"}}), Reason.PROTOCOL),
        (lambda: web.Response(body=b"x", headers={"Content-Encoding": "br"}), Reason.PROTOCOL),
        (lambda: web.Response(text="<html>", content_type="text/html"), Reason.MALFORMED),
        (lambda: web.Response(text="{", content_type="application/json"), Reason.MALFORMED),
        (lambda: web.Response(body=b"[" * 100_000, content_type="application/json"), Reason.MALFORMED),
        (lambda: web.Response(text="9" * 5000, content_type="application/json"), Reason.MALFORMED),
        (lambda: web.json_response({"@odata.type": "#Drive.v1_0_0.Drive"}), Reason.PROFILE),
        (lambda: web.json_response({"@odata.type": "#CoolingUnit.v1_0_0.CoolingUnit"}), Reason.EMPTY),
        (lambda: web.Response(status=302, headers={"Location": "http://127.0.0.2/redfish/v1"}), Reason.HTTP),
        (lambda: web.Response(body=b" " * (5 << 20), content_type="application/json"), Reason.TOO_LARGE),
    ],
)  # fmt: skip
def test_answers_that_are_none(server: RedfishServer, answer: object, expected: Reason) -> None:
    async def behave(request: web.Request) -> web.Response | None:
        return answer() if request.path == CDU else None

    server.behave = behave
    assert reason(server.url) is expected


def test_an_endless_answer_is_cut(server: RedfishServer) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse | None:
        nonlocal sent
        if request.path != CDU:
            return None
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while sent < 100 << 20:
            await response.write(b" " * 65536)
            sent += 65536
        return response

    server.behave = endless
    assert reason(server.url) is Reason.TOO_LARGE
    assert sent < 30 << 20


def test_a_slow_drip_ends_with_the_deadline(server: RedfishServer) -> None:
    async def drip(request: web.Request) -> web.StreamResponse | None:
        if request.path != CDU:
            return None
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    server.behave = drip
    began = time.monotonic()
    assert reason(server.url, deadline=0.6) is Reason.TIMEOUT
    assert time.monotonic() - began < 5


def test_a_part_that_hangs_costs_only_itself(server: RedfishServer) -> None:
    async def hang(request: web.Request) -> None:
        if request.path.endswith("/Reservoirs/1"):
            await asyncio.sleep(3)

    server.behave = hang
    polled = ask(server.url, Role.CDU, CDU, deadline=2.0)
    assert polled.dropped == {"error": 1}
    assert "heat_removed_watts{tcs}" in series(polled)


def test_credentials_stay_with_their_host(server: RedfishServer) -> None:
    seen = []

    async def elsewhere(request: web.Request) -> web.Response | None:
        seen.append(request.host)
        return web.Response(status=307, headers={"Location": f"http://localhost:{server.port}{CDU}"})

    server.behave = elsewhere
    assert reason(server.url, secret=Secret(bearer="t")) is Reason.HTTP
    assert {host.partition(":")[0] for host in seen} == {"127.0.0.1"}


def test_links_to_other_hosts_are_not_followed(server: RedfishServer) -> None:
    server.resources[CDU]["Pumps"] = {"@odata.id": f"http://localhost:{server.port}{CDU}/Pumps"}
    server.resources[CDU]["Filters"] = {"@odata.id": "//localhost/x"}
    polled = ask(server.url, Role.CDU, CDU)
    assert gets(server, "Pumps") == gets(server, "localhost") == 0
    assert "heat_removed_watts{tcs}" in series(polled)


# TLS
@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tls")
    for name, also in (("server", ["-addext", "subjectAltName=DNS:bmc.example"]), ("other", [])):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-keyout", str(home / f"{name}.key"),
             "-out", str(home / f"{name}.crt"), *also],
            check=True, capture_output=True,
        )  # fmt: skip
    return home


def test_certificates_are_verified(certificates: Path) -> None:
    server = RedfishServer(certificates).start()
    try:
        ca, other = str(certificates / "server.crt"), str(certificates / "other.crt")
        good = Secret(ca_file=ca, server_name="bmc.example")
        assert ask(server.url, Role.CDU, CDU, secret=good).readings
        assert ask(server.url, Role.CDU, CDU, secret=Secret(insecure=True)).readings
        for bad in (
            Secret(ca_file=ca),  # the name is another
            Secret(ca_file=other, server_name="bmc.example"),
            Secret(),
            Secret(ca_file=str(certificates / "missing.crt")),
            Secret(insecure=True, cert_file=ca, key_file=str(certificates / "other.key")),
        ):
            assert reason(server.url, secret=bad) is Reason.TLS
    finally:
        server.stop()
