"""`gigawatch facility` on real devices: its files, secrets and checks, and what service discovery lists."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_device import LineDevices, makers

from exporters.facility.command import FACILITY
from exporters.facility.program import Facility
from exporters.facility.settings import FacilitySettings, add_facility_arguments, facility_settings
from exporters.inventory import Addresses, Keeper
from exporters.inventory.endpoints import join, load_endpoints
from gigawatch.catalogue import facility, own, polling
from gigawatch.errors import UserError
from gigawatch.serving import Request
from gigawatch.topology import Endpoint, Role, blueprint, load_inventory

SITE = """
version: 1
site: {name: hall-seven}
racks: [{name: r1, hall: h1, row: a, power_watts: 40000, cooling: air}]
devices:
"""


def written(path: Path, text: str) -> Path:
    """Replaced as a whole, as editors and Kubernetes do it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    return fresh.replace(path)


def until(met: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


def settings(*arguments: str, environment: dict[str, str] | None = None) -> FacilitySettings:
    parser = ArgumentParser()
    add_facility_arguments(parser)
    return facility_settings(parser.parse_args(arguments), environment or {})


@pytest.fixture(scope="module")
def peers() -> Iterator[LineDevices]:
    devices = LineDevices()
    yield devices
    devices.close()


class Program:
    """A site in files, and the program that follows them; its watcher is called by the test."""

    def __init__(self, folder: Path, peers: LineDevices, parse: Callable[[str], Any]) -> None:
        self.folder, self.peers, self._parse = folder, peers, parse
        self.config = folder / "facility.yaml"

    def devices(self, **names: str) -> str:
        """An inventory with rack PDUs, each with the rest of its endpoint."""
        rows = [
            f"  - {{name: {name}, role: rack_pdu, rack: r1, endpoints: "
            f"[{{protocol: redfish, address: 'http://{self.peers.address}', "
            f"path: /redfish/{name}{rest}}}]}}\n"
            for name, rest in names.items()
        ]
        return SITE + ("".join(rows) or "  []\n")

    def start(self, text: str) -> Facility:
        self.config.write_text(text)
        load = partial(settings, "--config", str(self.config))
        self.facility = Facility(load, self.config, makers=makers())
        # Not `start`: that looks at the files by itself, every other second.
        self.facility.poller.start()
        return self.facility

    def page(self, name: str) -> Any:
        found = self.facility.poller.pages.page(name)
        return self._parse(found.text.decode()) if found is not None else None

    def up(self, name: str) -> bool:
        page = self.page(name)
        return page is not None and page.get((facility.FACILITY_POLL_UP.name, frozenset())) == 1

    def errors(self, name: str, reason: str) -> float:
        labels = frozenset({("endpoint", "redfish"), ("reason", reason)})
        return float((self.page(name) or {}).get((polling.POLL_ERRORS.name, labels), 0))

    def health(self, collector: str) -> float:
        samples = self._parse(self.facility.exporter.compose().text.decode())
        return float(samples[own.COLLECTOR_UP.name, frozenset({("collector", collector)})])


@pytest.fixture
def program(tmp_path: Path, peers: LineDevices, parse_text: Callable[[str], Any]) -> Iterator[Program]:
    one = Program(tmp_path, peers, parse_text)
    yield one
    one.facility.stop()


def test_files_that_change_start_stop_and_restart_only_what_they_concern(
    program: Program, peers: LineDevices, caplog: pytest.LogCaptureFixture
) -> None:
    inventory, listed = program.folder / "site.yaml", program.folder / "endpoints.json"
    inventory.write_text(program.devices(stays=", interval: 1s", goes=""))
    running = program.start("inventory: site.yaml\nendpoints: endpoints.json\ninterval: 500ms\n")
    until(lambda: program.up("stays") and program.up("goes"))
    peers.connections["stays"] = 0
    # The file of endpoints comes after us, and names a device of which nobody knows.
    listed.write_text(
        json.dumps({"late": [{"protocol": "modbus", "address": peers.address, "profile": "x"}]})
    )
    running.refresh()
    assert "endpoints.json: names the device 'late', which is not in the inventory" in caplog.text
    more = "  - {name: late, role: rack_pdu, rack: r1}\n"
    written(inventory, program.devices(stays=", interval: 1s") + more)
    running.refresh()
    until(lambda: program.up("late"))
    assert program.page("goes") is None
    for broken in ("version: 2\n", "racks: [", None):
        written(inventory, broken) if broken else inventory.unlink()
        running.refresh()
        assert program.health("inventory") == 0
    written(listed, '{"late": [{"protocol": "telex", "address": "a"}]}')
    written(program.config, "inventory: site.yaml\ninterval: soon\n")
    running.refresh()
    assert program.health("endpoints") == program.health("settings") == 0
    until(lambda: program.up("stays") and program.up("late"))
    written(
        program.config, "inventory: site.yaml\nendpoints: endpoints.json\ninterval: 500ms\nlisten: ':1'\n"
    )
    running.refresh()
    assert program.health("settings") == 1
    assert "listen: takes effect when the program is started again" in caplog.text
    asked = peers.asked["stays"]
    until(lambda: peers.asked["stays"] > asked + 1)
    assert peers.connections["stays"] == 0, "a device was interrupted by changes that do not concern it"


def test_secrets_are_read_again_and_a_missing_one_fails_its_device_alone(
    program: Program, peers: LineDevices, caplog: pytest.LogCaptureFixture
) -> None:
    (program.folder / "site.yaml").write_text(
        program.devices(locked=", credentials: pdu", other=", credentials: none-such", open="")
    )
    peers.password["locked"] = "word-1"
    secret = program.folder / "pdu.community"
    running = program.start(
        "inventory: site.yaml\ninterval: 500ms\ncredentials: {pdu: {community_file: pdu.community}}\n"
    )
    until(lambda: program.errors("locked", "auth") and program.errors("other", "auth") and program.up("open"))
    assert f"{secret}: cannot be read (No such file or directory)" in caplog.text
    assert "the settings have no credentials 'none-such'; there are: pdu" in caplog.text
    written(secret, "wrong-word\n")
    running.refresh()
    until(lambda: peers.asked["locked"])
    assert not program.up("locked")
    written(secret, "word-1\n")
    running.refresh()
    until(lambda: program.up("locked"))
    peers.password["locked"] = "word-2"
    written(secret, "word-2\n")
    running.refresh()
    asked = peers.asked["locked"]
    until(lambda: peers.asked["locked"] > asked + 1 and program.up("locked"))
    written(secret, "word-2\nand more\n")
    running.refresh()
    until(lambda: not program.up("locked"))
    assert (
        "word" not in caplog.text.replace("wrong-", "").replace("password", "") or "word-2" not in caplog.text
    )
    assert "is no secret (one line of printable characters)" in caplog.text


def test_a_page_for_each_device_with_endpoints_and_none_for_others(program: Program) -> None:
    text = program.devices(pdu="") + "  - {name: dumb, role: rack_pdu, rack: r1}\n"
    (program.folder / "site.yaml").write_text(text)
    running = program.start("inventory: site.yaml\ninterval: 500ms\n")
    app = running.app()

    def get(path: str) -> int:
        return app(Request("GET", path, {}, {}, b"")).status

    until(lambda: program.up("pdu"))
    assert get("/devices/pdu/metrics") == 200
    assert [get(f"/devices/{path}") for path in ("dumb/metrics", "pdu", "pdu/x/metrics", "")] == [404] * 4
    page = program.page("pdu")
    names = {name for name, _ in page}
    always = (polling.POLL_INTERVAL, polling.POLL_CIRCUIT_OPEN, polling.POLL_ENDPOINT_UP, polling.POLL_LAG)
    assert {metric.name for metric in (*always, polling.POLL_LAST_SUCCESS)} <= names
    assert set(polling.POLL_DURATION.sample_names) <= names
    identity = {dict(labels)["vendor"] for name, labels in page if name == polling.HARDWARE_INFO.name}
    assert identity == {"Acme"}
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=running.poller.pages.page("pdu").text,
        capture_output=True, timeout=30,
    )  # fmt: skip
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_intervals_by_endpoint_then_rehearsal_then_role_then_protocol(tmp_path: Path) -> None:
    plain, own_word = Endpoint("snmp", "a"), Endpoint("snmp", "a", interval="7s")
    path = tmp_path / "facility.yaml"
    path.write_text("intervals: {roles: {ups: 20s}, protocols: {snmp: 15s}}\n")
    found = settings("--config", str(path))
    assert found.interval_of(Role.UPS, plain) == 20
    assert found.interval_of(Role.RACK_PDU, plain) == 15
    assert found.interval_of(Role.UPS, own_word) == 7
    assert settings("--config", str(path), "--interval", "2s").interval_of(Role.UPS, plain) == 2
    assert settings().interval_of(Role.BMC, plain) == 30
    assert settings().interval_of(Role.LEAK_DETECTOR, plain) == 5
    assert settings().interval_of(Role.CDU, plain) == 10


def test_files_of_the_settings_lie_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "facility.yaml"
    path.write_text("inventory: site.yaml\nsnmp_profiles: profiles\n")
    found = settings("--config", str(path), "--endpoints", "here.json")
    assert (found.inventory, found.endpoints) == (tmp_path / "site.yaml", Path("here.json"))
    assert found.folders() == {"snmp_profiles": str(tmp_path / "profiles")}


WRONG = {
    "intervals: {roles: {toaster: 5s}}": "intervals.roles.toaster",
    "intervals: {protocols: {snmp: 0s}}": "out of range; allowed: 500ms to 1h",
    "limits: {snmp: 0}": "limits.snmp: is 0",
    "credentials: {a: {password: x}}": "credentials.a.password: is not a known field",
    "credentials: {a: {password_file: x}}": "without username",
    "credentials: {a: {username: u, password_file: x, community_file: y}}": "exclude each other",
    "credentials: {a: {username: u, privacy_protocol: aes128}}": "go together",
    "credentials: {a: {tls: {cert_file: x}}}": "give both or none",
    "credentials: {a: {version: 1}}": "allowed: '2c', '3' or ''",
    "retry: {silent: soon}": "is not a duration",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_in_the_settings_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "facility.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        settings("--config", str(path))
    assert WRONG[text] in str(caught.value)
    assert f"{path}:1" in str(caught.value)


def test_snmp_version_3_is_told_by_what_is_given(tmp_path: Path) -> None:
    path = tmp_path / "facility.yaml"
    path.write_text(
        "credentials:\n"
        "  v3: {username: u, password_file: a, auth_protocol: sha256,"
        " privacy_protocol: aes128, privacy_password_file: b}\n"
        "  v2: {community_file: a}\n"
    )
    for name, text in (("a", "one"), ("b", "two")):
        (tmp_path / name).write_text(f"{text}\n")
    found = settings("--config", str(path)).credentials
    v3, v2 = (found[name].credential(name, tmp_path).read() for name in ("v3", "v2"))
    assert (v3.version, v3.username, v3.password, v3.privacy_password) == ("3", "u", "one", "two")
    assert (v2.version, v2.password) == ("2c", "one")
    assert "one" not in repr(v3)


BAD_FILES = {
    "[]": "at the top",
    '{"a": [{"protocol": "snmp"}]}': "a[0].address: is missing",
    '{"a": [{"protocol": "snmp", "address": "b", "adress": "c"}]}': "a[0].adress: is not a known field",
    '{"a": [{"protocol": "telnet", "address": "b"}]}': "allowed: 'redfish', 'snmp', 'modbus' or 'mqtt'",
    '{"a": [{"protocol": "redfish", "address": "https://root:calvin@bmc"}]}': "holds a user or a password",
    '{"a": [{"protocol": "snmp", "address": "b", "interval": "1ms"}]}': "1ms; allowed: 500ms to 1h",
    '{"a": [], "a": []}': "'a' stands twice",
    "{": "not valid",
}


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("text", BAD_FILES)
def test_a_mistake_in_the_file_of_endpoints_is_one_line(text: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"endpoints.{suffix}"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_endpoints(path)
    told = str(caught.value)
    assert BAD_FILES[text].replace("'a' stands", "stands") in told.replace("'a' stands", "stands")
    assert told.startswith(str(path))
    assert "calvin" not in told
    assert "\n" not in told


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_file_of_endpoints_does_more_than_refuse(text: bytes) -> None:
    for name in ("endpoints.json", "endpoints.yaml"):
        path = Path(f"/dev/shm/gigawatch-test-{os.getpid()}-{name}")
        path.write_bytes(text)
        with contextlib.suppress(UserError):
            load_endpoints(path)
        path.unlink()


def test_the_file_replaces_the_endpoints_of_the_devices_it_names() -> None:
    site = blueprint("starter")
    first, second = site.devices[0].name, site.devices[1].name
    real = join(site, {first: (Endpoint("snmp", "real"),), second: (Endpoint("snmp", "too"),)})
    rehearsal = join(real, {first: (Endpoint("modbus", "here"),)})
    assert [e.address for e in rehearsal.device[first].endpoints] == ["here"]
    assert [e.address for e in rehearsal.device[second].endpoints] == ["too"]
    assert join(site, {}) is site


def test_discovery_lists_the_devices_that_have_a_page(tmp_path: Path) -> None:
    path, listed = tmp_path / "site.yaml", tmp_path / "endpoints.yaml"
    path.write_text(
        SITE + "  - {name: a, role: rack_pdu, rack: r1}\n  - {name: b, role: rack_pdu, rack: r1}\n"
    )

    def told(keeper: Keeper) -> list[str]:
        answer = keeper.app()(Request("GET", "/sd/facility", {}, {}, b""))
        return [group["labels"]["device"] for group in json.loads(answer.body)]

    def keeper(devices: Any, endpoints: Path | None = None) -> Keeper:
        addresses = Addresses(facility="f:9611", devices=devices)
        return Keeper(load_inventory(path), path, addresses, endpoints)

    assert told(keeper("any")) == ["a", "b"], "a site without any endpoint is a simulated one"
    real = keeper("asked", listed)
    assert told(real) == []
    listed.write_text("b: [{protocol: snmp, address: pdu-b}]\n")
    real.check()
    assert told(real) == ["b"]
    listed.write_text("b: [{protocol: snmp}]\n")
    real.check()
    assert told(real) == ["b"]
    text = path.read_text().replace("name: a,", "name: a, endpoints: [{protocol: snmp, address: pdu-a}],")
    written(path, text)
    real.check()
    assert told(real) == ["a", "b"]
    assert told(keeper("any")) == ["a"]
    assert told(keeper("all")) == ["a", "b"]


def command(*arguments: str) -> int:
    parser = ArgumentParser()
    FACILITY.configure(parser)
    return FACILITY.run(parser.parse_args(arguments))


def test_check_tells_everything_in_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.yaml").write_text(
        SITE + "  - {name: a, role: rack_pdu, rack: r1, endpoints: "
        "[{protocol: modbus, address: pdu, profile: nine}]}\n"
        "  - {name: b, role: rack_pdu, rack: r1, endpoints: "
        "[{protocol: snmp, address: b, credentials: none}]}\n"
    )
    (tmp_path / "endpoints.yaml").write_text("c: [{protocol: snmp, address: c}]\n")
    (tmp_path / "facility.yaml").write_text(
        "inventory: site.yaml\nendpoints: endpoints.yaml\nsnmp_profiles: nowhere\n"
        "credentials: {pdu: {community_file: pdu.community}, cdu: {tls: {ca_file: ca.pem}}}\n"
    )
    assert command("--config", "facility.yaml", "--check") == 1
    lines = capsys.readouterr().err.splitlines()
    for told in (
        "endpoints.yaml: names the device 'c', which is not in the inventory",
        "device a: modbus: profile 'nine'",
        "device b: snmp: the settings have no credentials 'none'; there are: cdu, pdu",
        "credentials 'pdu': pdu.community: cannot be read (No such file or directory)",
        "credentials 'cdu': ca.pem: cannot be read",
        "snmp_profiles: nowhere is no directory",
    ):
        assert any(told in line for line in lines), (told, lines)
    assert all(line.startswith("gigawatch: ") for line in lines)


def test_what_cannot_be_done_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.yaml").write_text(SITE + "  - {name: a, role: rack_pdu, rack: r1}\n")
    for arguments, told in (
        ((), "no site is named; give its inventory with --inventory FILE"),
        (("--inventory", "site.yaml", "--once"), "no device of site 'hall-seven' has an endpoint"),
        (("--inventory", "site.yaml", "--once", "--device", "a"), "device 'a' has no endpoint"),
        (("--inventory", "site.yaml", "--once", "--device", "z"), "no device 'z' in site 'hall-seven'"),
        (("--inventory", "site.yaml", "--device", "a"), "it needs --once"),
    ):
        with pytest.raises(UserError, match=told):
            command(*arguments)


def test_once_prints_what_there_is_and_fails_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.yaml").write_text(
        SITE
        + "  - {name: a, role: rack_pdu, rack: r1, endpoints: [{protocol: modbus, address: '127.0.0.1:1',"
        " profile: none-such}]}\n"
    )
    with pytest.raises(UserError) as caught:
        command("--inventory", "site.yaml", "--once", "--device", "a")
    assert str(caught.value).startswith("1 of 1 endpoints failed: a: modbus at 127.0.0.1:1: ")
    printed = capsys.readouterr()
    assert f"{facility.FACILITY_POLL_UP.name} 0.0" in printed.out
    assert not printed.err
    rows = (tmp_path / "site.yaml").read_text().replace("none-such", "schneider-pm5000")
    (tmp_path / "site.yaml").write_text(rows)
    assert command("--inventory", "site.yaml", "--check") == 0
    told = "site 'hall-seven': 1 devices to ask, endpoints: 1 modbus; 0 devices without endpoint\n"
    assert capsys.readouterr().out == told


def test_the_command_serves_and_ends_when_told(run_served: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE + "  - {name: a, role: rack_pdu, rack: r1}\n")
    listed = tmp_path / "endpoints.json"
    served = run_served(
        "facility",
        "--inventory",
        str(tmp_path / "site.yaml"),
        "--endpoints",
        str(listed),
        "--interval",
        "500ms",
    )
    assert served.get("/-/healthy") == "ok\n"
    listed.write_text(json.dumps({"a": [{"protocol": "modbus", "address": "127.0.0.1:1", "profile": "x"}]}))
    until(lambda: "/devices/a/metrics" in served.get("/"))
    served.wait_for(
        lambda s: s.get((facility.FACILITY_POLL_UP.name, frozenset())) == 0, path="/devices/a/metrics"
    )
    health = served.samples()
    assert health[own.COLLECTOR_UP.name, frozenset({("collector", "devices")})] == 1
    assert health[own.COLLECTOR_UP.name, frozenset({("collector", "endpoints")})] == 1
    served.process.terminate()
    assert served.process.wait(20) == 0
    assert "Traceback" not in served.log.read_text()
