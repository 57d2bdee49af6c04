"""Profiles: each one is in order and reads its recording as a person would."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from snmp_peers import OURS, polled, recordings, run, series, wiring

from exporters.facility.driver import Secret
from exporters.facility.snmp.library import BUILT_IN, Library
from gigawatch.errors import UserError

NAMES = sorted(path.stem for path in BUILT_IN.glob("*.yaml"))
EXPECTED = sorted((OURS / "expected").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_every_profile_has_a_recording(name: str) -> None:
    """Loading checks each metric, label and state against the catalogue."""
    assert Library.load().profiles[name].tables
    read = [yaml.safe_load(path.read_text())["identity"][0] for path in EXPECTED]
    assert name in read, "add a recording and what is expected of it: docs/adding-a-device-snmp.md"


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_recording_is_read_as_expected(path: Path) -> None:
    """The device is recognised by itself, by what it says it is."""
    expected = yaml.safe_load(path.read_text())
    answer = run(polled(wiring(recordings(), Secret(password=path.stem))))
    assert list(answer.identity) == expected["identity"]
    assert series(answer) == expected["readings"]
    assert answer.dropped == expected["dropped"]


GOOD = """
name: mine
source: a test
detect: {sys_object_ids: [.1.3.6.1.4.1.99999]}
tables:
  - name: inlet
    index: [row]
    columns: {watts: 1.3.6.1.4.1.99999.1.1, label: 1.3.6.1.4.1.99999.1.2}
    value: watts
    readings:
      - {metric: power_active_watts, labels: {scope: inlet, id: "{label|row}"}}
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "power_active_watts",
            "power_watts",
            "tables[0].readings[0]: metric 'power_watts' is not in the catalogue",
        ),
        (
            "scope: inlet",
            "scope: plug",
            "scope is 'plug'; allowed: inlet, phase, line, branch, outlet, output",
        ),
        ("scope: inlet", "side: B", "label 'side' is not one to fill; the metric has scope, id"),
        ("{label|row}", "{lable|row}", "'lable' is neither index part nor column; there are"),
        ("value: watts", "value: volts", "column 'volts' is not declared; declared: watts, label"),
        ("power_active_watts", "outlet_state", "`states` goes with a state set, and only with one"),
        ("1.3.6.1.4.1.99999.1.2", "enterprises.7", "an OID is numbers with dots"),
        ("    value: watts", "    values: watts", "is not a known field; known here:"),
        ("name: mine", "name: yours", "name: is 'yours'; must be as the file's: mine"),
        ("index: [row]", "index: [row", "not valid YAML"),
        ('"{label|row}"', '{of: "{label}", pattern: "(["}', "is no regular expression"),
    ],
)
def test_bad_profile_is_refused_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    assert GOOD.count(old) == 1
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(UserError) as refused:
        Library.load(tmp_path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message


def test_site_adds_and_replaces_profiles(tmp_path: Path) -> None:
    """A file of the site's with the name of one of ours is taken instead of it."""
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "apc-rpdu2.yaml").write_text(
        GOOD.replace("name: mine", "name: apc-rpdu2")
        .replace("99999.1.1", "318.1.1.26.4.3.1.5")
        .replace("[.1.3.6.1.4.1.99999]", "[1.3.6.1.4.1.318]")
    )
    options = {"snmp_profiles": str(tmp_path)}
    answer = run(polled(wiring(recordings(), Secret(password="apc-8641"), options=options)))
    assert series(answer) == {"power_active_watts{A,inlet,1}": 121.0}
    with pytest.raises(UserError, match=r"SNMP profile 'mien' does not exist; did you mean mine\?"):
        run(polled(wiring("127.0.0.1", options=options, profile="ups-mib, mien")))
    with pytest.raises(UserError, match="is no folder with SNMP profiles"):
        run(polled(wiring("127.0.0.1", options={"snmp_profiles": str(tmp_path / "none")})))
