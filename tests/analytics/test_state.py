"""The saved state: what is written is read again, and whatever is wrong with a file is a clean start."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.detectors import Detector, Verdict
from analytics.engine import Engine
from analytics.fleet import Fleet, Level, Tick
from analytics.fleet.columns import Columns
from analytics.serving.state import FILE, KEPT_ASIDE, StateError, StateStore

HEADER = {"fleet": {"gpu": {"labels": {"uuid": ["A"]}, "seen": [1.0]}}, "latest": 5.0}
ARRAYS = {
    "novelty/gpus/mean": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "peers/empty": np.zeros((3, 0)),
    "flags": np.array([True, False]),
}


@pytest.fixture
def store(tmp_path):
    store = StateStore(tmp_path / "new", clock=iter(range(1000, 2000)).__next__)
    store.save(HEADER, ARRAYS)
    return store


def same(found):
    header, arrays = found
    assert {key: header[key] for key in HEADER} == HEADER
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def bad(store):
    return sorted(path.name for path in store.path.parent.glob("*.bad-*"))


def test_what_was_saved_is_read_and_nothing_else_lies_there(store):
    store.path.with_name(f"{FILE}.1-2.tmp").write_bytes(b"of a process that was killed")
    same(store.load())
    assert [path.name for path in store.path.parent.iterdir()] == [FILE]
    assert StateStore(store.path.parent / "other").load() is None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), bits=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_file_is_never_read_as_something_else(store, at, bits, cut):
    whole = store.path.read_bytes()
    at %= len(whole)
    damaged = whole[:at] if cut else whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :]
    copy = StateStore(store.path.parent / "copy", clock=lambda: 1000.0)
    copy.path.parent.mkdir(exist_ok=True)
    copy.path.write_bytes(damaged)
    try:
        found = copy.load()
    except StateError as error:
        text = str(error)
    else:
        same(found)
        return
    assert "\n" not in text
    assert "starting afresh" in text
    assert not copy.path.exists()
    assert bad(copy)


def test_a_file_whose_directory_hides_an_array_is_set_aside(store):
    whole = store.path.read_bytes()
    entry = whole.index(b"PK\x01\x02")
    # The length of the first entry's comment: the reader takes the entries after it for that comment.
    after = whole.index(b"PK\x01\x02", entry + 4)
    rest = whole.index(b"PK\x01\x02", after + 4) - after
    damaged = whole[: entry + 32] + rest.to_bytes(2, "little") + whole[entry + 34 :]
    with zipfile.ZipFile(io.BytesIO(damaged)) as zipped, zipfile.ZipFile(io.BytesIO(whole)) as intact:
        assert len(zipped.namelist()) == len(intact.namelist()) - 1
    store.path.write_bytes(damaged)
    with pytest.raises(StateError, match="arrays are missing"):
        store.load()


def as_zip(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK\x05\x06" + bytes(18), as_zip(a="b"), as_zip(header="{}"), bytes(10**6)]
)
def test_a_foreign_file_is_set_aside_and_few_are_kept(store, content):
    for _ in range(KEPT_ASIDE + 2):
        store.path.write_bytes(content)
        with pytest.raises(StateError, match="starting afresh"):
            store.load()
        assert store.load() is None
    names = bad(store)
    assert len(names) == KEPT_ASIDE
    assert names[-1].endswith(str(1000 + KEPT_ASIDE + 1))
    store.save(HEADER, ARRAYS)
    same(store.load())


@pytest.mark.parametrize("version", [0, 3, 99, "2", None, -1])
def test_an_unknown_version_is_set_aside(store, version):
    store.save({**HEADER, "version": version}, ARRAYS)
    with pytest.raises(StateError, match=f"version {version}, expected"):
        store.load()
    assert len(bad(store)) == 1


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be written"):
        StateStore(tmp_path / "file").save(HEADER, ARRAYS)


class Two(Detector):
    """Remembers how often it was called, twice."""

    name = "two"

    def __init__(self, shape=()):
        super().__init__()
        self.one = self.table("one", Level.GPU, Columns({"n": ()}))
        self.other = self.table("other", Level.GPU, Columns({"n": shape}))

    def observe(self, _tick: Tick) -> Verdict:
        self.one["n"] += 1
        self.other["n"] += 1
        return Verdict()


class Three(Two):
    name = "three"


def fleet():
    made = Fleet()
    made[Level.GPU].rows(["A", "B"], [{"node": "n", "gpu": "0"}, {"node": "n", "gpu": "1"}], now=10.0)
    return made


def test_a_detector_that_changed_starts_afresh_alone(store):
    before = Engine([Two(), Three()], fleet())
    for now in (1.0, 2.0):
        before.run(Tick(now, before.fleet))
    store.save(*before.dump())
    two, three, late = Two(), Three(shape=(2,)), Three()
    late.name = "late"
    after = Engine([two, three, late])
    lines = after.load(*store.load())
    assert len(lines) == 2
    assert "three does not fit" in lines[0]
    assert "late is not there" in lines[1]
    assert after.fleet[Level.GPU].keys == ["A", "B"]
    after.run(Tick(3.0, after.fleet))
    assert two.one["n"].tolist() == two.other["n"].tolist() == [3, 3]
    assert three.one["n"].tolist() == [1, 1]
    assert three.other["n"].tolist() == [[1, 1], [1, 1]]


def test_version_1_is_brought_up_to_date(store):
    engine = Engine([Two()], fleet())
    engine.run(Tick(1.0, engine.fleet))
    header, arrays = engine.dump()
    old = json.loads(json.dumps({**header, "version": 1}))
    for roster in old["fleet"].values():
        del roster["gone"], roster["slot_since"]
    del old["fleet"]["feed"], old["fleet"]["gpu"]["labels"]["job"]  # what came later is empty
    store.save(old, arrays)
    two = Two()
    after = Engine([two])
    assert after.load(*store.load()) == []
    gpus = after.fleet[Level.GPU]
    assert gpus.labels["gpu"] == ["0", "1"]
    assert gpus.labels["job"] == ["", ""]
    assert not gpus.gone.any()
    assert two.one["n"].tolist() == [1, 1]
    del old["fleet"]["gpu"]["seen"]
    store.save(old, arrays)
    with pytest.raises(StateError, match="version 1 cannot be brought to version 2"):
        store.load()


def test_gone_gpus_and_slots_are_remembered(store):
    engine = Engine([], fleet())
    gpus = engine.fleet[Level.GPU]
    gpus.rows(["C"], [{"node": "n", "gpu": "1"}], now=50.0)
    engine.run(Tick(60.0, engine.fleet))
    store.save(*engine.dump())
    after = Engine([])
    assert after.load(*store.load()) == []
    again = after.fleet[Level.GPU]
    assert again.gone.tolist() == [False, True, False]
    assert again.slot_since.tolist() == [10, 10, 50]
    assert again.rival(1) == 2
