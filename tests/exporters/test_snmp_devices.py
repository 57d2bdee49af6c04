"""SNMP devices: known answers of real recordings, ways in, ways to fail, and what is remembered of one."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Iterator, Sequence

import pytest
from snmp_peers import V3, free_port, polled, recordings, run, scripted, series, snmpd, wiring

from exporters.facility.driver import Polled, PollError, Reason, Secret, Wiring
from exporters.facility.snmp.address import parse_address
from exporters.facility.snmp.client import GufoClient, Key, Value
from exporters.facility.snmp.driver import UP_TIME, SnmpDriver
from gigawatch.errors import UserError


def ask(recording: str, **how: object) -> Polled:
    return run(polled(wiring(recordings(), Secret(password=recording), **how)))


def test_apc_pdu_says_what_its_display_says() -> None:
    """Golden numbers of an AP8641: kilowatts in hundredths, amperes in tenths, -1 for no sensor."""
    found = series(answer := ask("apc-8641"))
    assert found["power_active_watts{A,inlet,}"] == 1210
    assert found["power_apparent_voltamperes{A,inlet,}"] == 1310
    assert found["power_factor_ratio{A,inlet,}"] == 0.94
    assert found["energy_joules_total{A,inlet,}"] == pytest.approx(1951.6 * 3.6e6)
    assert found["current_amperes{A,phase,L1}"] == 6.5
    assert found["voltage_volts{A,phase,L1}"] == 201
    assert (found["current_amperes{A,branch,1}"], found["current_amperes{A,branch,2}"]) == (3.8, 2.4)
    assert (found["current_amperes{A,outlet,1}"], found["power_active_watts{A,outlet,1}"]) == (0.9, 163)
    assert found["outlet_state{A,1,on}"] == 1
    assert sum(name.startswith("power_active_watts{A,outlet,") for name in found) == 24
    assert not any("temperature" in name or "humidity" in name for name in found)
    assert answer.dropped == {"sentinel": 2}
    assert answer.identity == ("apc-rpdu2", "APC", "AP8641", "6.7.2", "3F3452A52295")


def test_eaton_ups_is_not_taken_at_its_word() -> None:
    """Currents are tenths; no input power beside 21 A, and a saturated runtime, are no readings."""
    answer = ask("eaton-93e-80")
    found = series(answer)
    assert [found[f"current_amperes{{A,output,L{line}}}"] for line in (1, 2, 3)] == [27.0, 18.0, 15.0]
    assert found["current_amperes{A,phase,L1}"] == 21.0
    assert found["power_active_watts{A,output,}"] == 5100 + 3600 + 2700
    assert found["ups_load_ratio{}"] == 0.21
    assert found["ups_status{online}"] == 1
    assert not any(name.startswith(("power_active_watts{A,inlet", "ups_battery_runtime")) for name in found)
    assert answer.dropped == {"sentinel": 7}


def test_lines_that_a_ups_does_not_have_are_absent() -> None:
    """A single-phase UPS fills its tables up with zeros."""
    found = series(ask("phoenixtec-power"))
    assert found["voltage_volts{A,output,L1}"] == 231
    assert not any("L2" in name or "L3" in name for name in found)


def test_wrong_unit_is_absent_rather_than_absurd() -> None:
    """A Huawei UPS sends hundredths of hertz; read as the standard says, it would be 500 Hz and 2,369 V."""
    answer = ask("huawei-gse200m", profile="ups-mib")
    assert not any(name.startswith(("frequency", "voltage")) for name in series(answer))
    assert answer.dropped["unit"] == 4


def test_several_profiles_may_be_named() -> None:
    found = ask("vertiv-power", profile="liebert-cooling, ups-mib")
    assert found.identity[0] == "liebert-cooling,ups-mib"
    assert series(found)["air_temperature_celsius{room,}"] == 23


def test_community_may_stand_at_the_endpoint() -> None:
    answer = run(polled(wiring(recordings(), Secret(password="nobody"), context="vertiv-power")))
    assert series(answer) == {"air_temperature_celsius{room,}": 23.0, "relative_humidity_ratio{room,}": 0.42}


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with snmpd() as address:
        yield address


def fails(one: Wiring) -> PollError:
    with pytest.raises(PollError) as failed:
        run(polled(one))
    assert "\n" not in str(failed.value)
    return failed.value


STRONG = dataclasses.replace(V3, username="u2", auth_protocol="sha512", privacy_protocol="aes256")
WEAK = dataclasses.replace(V3, username="u3", auth_protocol="md5", privacy_protocol="des")
SIGNED = dataclasses.replace(WEAK, privacy_protocol="")


@pytest.mark.parametrize(
    "secret",
    [Secret(), Secret(version="1"), V3, STRONG, WEAK, SIGNED],
    ids=["2c", "1", "sha-aes128", "sha512-aes256", "md5-des", "md5"],
)
def test_every_version_gets_in(daemon: str, secret: Secret) -> None:
    """A host is no facility device: that this is said means that we were let in and read what it is."""
    failed = fails(wiring(daemon, secret))
    assert failed.reason is Reason.PROFILE
    assert re.match(r"no SNMP profile fits: .*; it says: Linux .* \(1\.3\.6\.1\.4\.1\.8072\.", str(failed))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrongpass99"}, "wrong authentication password or protocol"),
        ({"auth_protocol": "sha256"}, "wrong authentication password or protocol"),
        (
            {"privacy_password": "wrongpass99"},
            "answers nothing that is encrypted: wrong privacy password or protocol?",
        ),
        ({"username": "nobody"}, "it does not know the user name"),
        ({"privacy_protocol": ""}, "lets the user in, but shows nothing at this security level"),
        ({"password": "short"}, "password has fewer than 8 characters, which SNMP version 3 forbids"),
        ({"auth_protocol": "sha1"}, "auth_protocol is not one of md5, sha, sha224, sha256, sha384, sha512"),
        ({"auth_protocol": ""}, "privacy_protocol needs an auth_protocol as well"),
        ({"version": "4"}, "SNMP version is '4'; allowed: 1, 2c, 3"),
    ],
)
def test_wrong_credentials_are_told_apart(daemon: str, change: dict[str, str], said: str) -> None:
    failed = fails(wiring(daemon, dataclasses.replace(V3, **change), deadline=1.5))
    assert (failed.reason, str(failed)) == (Reason.AUTH, said)
    assert not any(word in str(failed) for word in ("wrongpass99", "authpass123", "privpass123"))


def test_answer_with_a_forged_value_is_refused(daemon: str) -> None:
    """Version 3 signs its answers: one that was changed on its way is no answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(5)
        ours.connect(parse_address(daemon))

        def forge(question: bytes) -> list[bytes]:
            ours.send(question)
            return [ours.recv(65535).replace(b"Linux", b"Minix")]

        with scripted(forge) as address:
            failed = fails(wiring(address, SIGNED))
    assert (failed.reason, str(failed)) == (Reason.MALFORMED, "answers with a wrong signature")


def test_silence_a_closed_port_and_no_name() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        silent = fails(wiring(f"127.0.0.1:{mute.getsockname()[1]}", deadline=0.5))
    assert silent.reason is Reason.TIMEOUT
    assert fails(wiring(f"127.0.0.1:{free_port()}")).reason is Reason.REFUSED
    assert fails(wiring("pdu-17.invalid")).reason is Reason.UNREACHABLE
    assert fails(wiring("127.0.0.1", V3, context="pdu")).reason is Reason.PROFILE


def test_wrong_community_is_silence(daemon: str) -> None:
    failed = fails(wiring(daemon, Secret(password="wrong"), deadline=0.5))
    assert failed.reason is Reason.TIMEOUT
    assert "community" in str(failed)


def test_device_without_anything_of_the_profile(daemon: str) -> None:
    failed = fails(wiring(daemon, profile="raritan-px2"))
    assert (failed.reason, str(failed)) == (Reason.EMPTY, "has nothing of what profile raritan-px2 reads")


def test_addresses() -> None:
    assert parse_address("pdu-1") == ("pdu-1", 161)
    assert parse_address("10.0.0.1:1161") == ("10.0.0.1", 1161)
    assert parse_address("[2001:db8::1]") == ("2001:db8::1", 161)
    assert parse_address("[2001:db8::1]:1161") == ("2001:db8::1", 1161)
    for bad in (
        "",
        ":161",
        "2001:db8::1",
        "[::1",
        "[::1]161",
        "pdu:0",
        "pdu:65536",
        "pdu:x",
        "udp://pdu",
        "a b",
    ):
        with pytest.raises(UserError, match=r"^address .*allowed"):
            parse_address(bad)


class Changing:
    """Another client library: snmpsim through ours, with rows hidden, and every request counted."""

    def __init__(self, inner: GufoClient, hidden: set[str], asked: list[int]) -> None:
        self._inner, self._hidden, self._asked = inner, hidden, asked

    async def get(self, oids: Sequence[str]) -> dict[str, Value]:
        self._asked.append(len(oids))
        found = await self._inner.get(oids)
        return {oid: value for oid, value in found.items() if oid not in self._hidden}

    async def walk(self, oid: str, limit: int) -> dict[Key, Value]:
        self._asked.append(0)
        found = await self._inner.walk(oid, limit)
        return {k: v for k, v in found.items() if f"{oid}.{'.'.join(map(str, k))}" not in self._hidden}

    def close(self) -> None:
        self._inner.close()


def test_device_is_looked_over_once_and_again_after_a_surprise() -> None:
    """A steady poll asks for its values and nothing else; a row that is gone is absent at once, and not
    asked for any longer once the device has been looked over again; nor is a new one overlooked for long."""
    row = "1.3.6.1.4.1.476.1.42.3.4.2.2.3.1.3.2"
    hidden: set[str] = set()
    asked: list[int] = []
    now = [1000.0]

    async def connect(*where: object) -> Changing:
        return Changing(await GufoClient.connect(*where), hidden, asked)

    async def story() -> list[tuple[bool, list[int], dict[str, int]]]:
        driver = SnmpDriver(
            wiring(recordings(), Secret(password="vertiv-power"), clock=lambda: now[0]), connect=connect
        )
        told = []
        for seconds, hide in ((0, ""), (10, ""), (10, row), (10, row), (60, row), (10, ""), (600, "")):
            now[0] += seconds
            hidden.clear()
            hidden.add(hide)
            asked.clear()
            answer = await driver.poll()
            told.append(("relative_humidity_ratio{room,}" in series(answer), list(asked), answer.dropped))
        await driver.close()
        return told

    first, steady, gone, still_gone, looked, back, again = run(story())
    assert first[0]
    assert len(first[1]) > 5
    assert steady == (True, [3], {}), "one request: two values and the time since the agent began"
    assert gone == still_gone == (False, [3], {"error": 1})
    assert len(looked[1]) > 5
    assert (looked[0], looked[2]) == (False, {})
    assert back == (False, [2], {})
    assert again[0]


def test_restarted_agent_is_looked_over_again() -> None:
    asked: list[int] = []
    now, up = [1000.0], [500]

    class Restarting(Changing):
        async def get(self, oids: Sequence[str]) -> dict[str, Value]:
            found = await super().get(oids)
            return {**found, UP_TIME: up[0]} if UP_TIME in oids else found

    async def connect(*where: object) -> Changing:
        return Restarting(await GufoClient.connect(*where), set(), asked)

    async def story() -> list[int]:
        one = wiring(recordings(), Secret(password="vertiv-power"), clock=lambda: now[0])
        driver = SnmpDriver(one, connect=connect)
        requests = []
        for ticks in (500, 1500, 20, 7000):
            now[0] += 61
            up[0] = ticks
            asked.clear()
            await driver.poll()
            requests.append(len(asked))
        await driver.close()
        return requests

    first, steady, noticed, looked = run(story())
    assert (steady, noticed) == (1, 1)
    assert first >= looked > 5


def test_slow_device_is_looked_over_in_several_polls() -> None:
    """What has been found is kept: a device that needs longer than one poll gets there in the end."""

    async def story() -> tuple[list[str], dict[str, float]]:
        driver = SnmpDriver(wiring(recordings(), Secret(password="apc-8932"), deadline=0.05), connect=slow)
        said = []
        for _ in range(200):
            try:
                return said, series(await driver.poll())
            except PollError as error:
                said.append(str(error))
        raise AssertionError("never got there")

    async def slow(host: str, port: int, secret: Secret, community: str, timeout: float) -> GufoClient:
        return await GufoClient.connect(host, port, secret, community, 5.0)

    said, found = run(story())
    assert found["power_active_watts{A,inlet,}"] == 160
    assert len(set(said)) == 1
    assert said[0] == "is slow: still finding out what it has"


def test_answer_too_large_for_the_agent_is_asked_for_in_parts(daemon: str) -> None:
    """An agent that answers at most five values at a time says tooBig to all else."""
    host, port = parse_address(daemon)

    def narrow(question: bytes) -> list[bytes]:
        if question.count(bytes.fromhex("2b06010201")) > 5:
            pdu = bytearray(question)
            at = pdu.index(0xA0)
            pdu[at] = 0xA2
            status = pdu.index(b"\x02\x01\x00", at)
            pdu[status + 2] = 1
            return [bytes(pdu)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.settimeout(5)
            ours.connect((host, port))
            ours.send(question)
            return [ours.recv(65535)]

    async def story(address: str) -> int:
        client = await GufoClient.connect(*parse_address(address), Secret(), "public", 2.0)
        oids = [f"1.3.6.1.2.1.1.{number}.0" for number in (1, 2, 3, 4, 5, 6)]
        oids += [f"1.3.6.1.2.1.1.9.1.{column}.{row}" for row in range(1, 9) for column in (2, 3, 4)]
        try:
            return len(await client.get(oids))
        finally:
            client.close()

    with scripted(narrow) as address:
        assert run(story(address)) == 30
