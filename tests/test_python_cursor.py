"""How consumers in C get their events: from a file or from arrays, in a window, under the lock."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_samples import EVENTS

import tracesmith as ts
from tracesmith import _core

COUNT = 20_000
TYPES = ["KernelLaunch", "MemcpyH2D", "RuntimeCall", "Custom"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(3)
    array = np.zeros(COUNT, ts.EVENT_DTYPE)
    array["timestamp"] = np.arange(COUNT) * 100 + random.integers(0, 100_000, COUNT)
    array["duration"] = random.choice([0, 50, 500], COUNT)
    array["type"] = random.choice([_core.EVENT_TYPES[name] for name in TYPES], COUNT)
    path = tmp_path_factory.mktemp("cursor") / "types.sbt"
    with ts.SBTWriter(path) as writer:
        writer.write_events(array)
    return path


def counted(array: np.ndarray, begin: int | None, end: int | None) -> dict[str, int]:
    first, last = begin or 0, 2**64 - 1 if end is None else end
    start, stop = array["timestamp"], array["timestamp"] + array["duration"]
    types = array["type"][(start < last) & ((stop > first) | (start >= first))]
    names = {number: name for name, number in _core.EVENT_TYPES.items()}
    return {
        names[number]: int(count) for number, count in zip(*np.unique(types, return_counts=True), strict=True)
    }


@pytest.mark.parametrize(
    ("begin", "end"), [(None, None), (0, 1), (500_000, 700_000), (1_000_000, None), (None, 30_000), (7, 7)]
)
def test_a_file_and_its_arrays_count_the_same(path: Path, begin: int | None, end: int | None) -> None:
    store = _core.Store(path)
    events, extensions, rows = store.read(range(len(store.blocks())))
    expected = counted(events, begin, end)
    assert _core.count(store, None, None, None, begin, end) == expected
    assert _core.count(store, events, None, None, begin, end) == expected
    assert _core.count(store, events, extensions, rows, begin, end) == expected


def test_events_with_extensions_are_counted_without_a_file() -> None:
    store = _core.Store()
    arrays = store.build(EVENTS)
    assert sum(_core.count(store, *arrays, None, None).values()) == len(EVENTS)
    assert _core.count(store, *_core.Store().build([]), None, None) == {}


def test_no_bound_leaves_out_not_even_the_last_moment_there_is(tmp_path: Path) -> None:
    path = tmp_path / "last.sbt"
    with ts.SBTWriter(path) as writer:
        writer.write_events(ts.Events([ts.TraceEvent(ts.EventType.Marker, 2**64 - 1)]))
    assert _core.count(_core.Store(path), None, None, None, None, None) == {"Marker": 1}


def test_a_type_of_another_build_is_unknown() -> None:
    array = np.zeros(3, ts.EVENT_DTYPE)
    array["type"] = [0, 200, 5000]
    assert _core.count(_core.Store(), array, None, None, None, None) == {"Unknown": 3}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("store", None, None, None, None, None), TypeError, "Store"),
        ((_core.Store(), None, None, None, None, None), ValueError, "no file"),
        ((_core.Store(), np.zeros(3), None, None, None, None), TypeError, "dtype"),
        (
            (_core.Store(), np.zeros(3, ts.EVENT_DTYPE), None, None, -1, None),
            (OverflowError, ValueError),
            None,
        ),
        ((_core.Store(), np.zeros(3, ts.EVENT_DTYPE), None, None, "now", None), TypeError, None),
        (
            (
                _core.Store(),
                np.zeros(3, ts.EVENT_DTYPE),
                np.zeros(1, _core.EXTENSION_DTYPE),
                np.array([3], np.uint32),
                None,
                None,
            ),
            ValueError,
            "row",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(arguments: tuple[Any, ...], error: Any, words: str | None) -> None:
    with pytest.raises(error, match=words):
        _core.count(*arguments)


def test_a_damaged_block_is_named_with_its_file(path: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sbt"
    data = bytearray(path.read_bytes())
    block = _core.Store(path).blocks()[1]
    middle = int(block["offset"] + block["bytes"] // 2)
    data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
    damaged.write_bytes(data)
    store = _core.Store(damaged)
    with pytest.raises(ts.TraceError, match=r"damaged\.sbt"):
        _core.count(store, None, None, None, None, None)
    store.refresh()  # the lock was given back
    end = int(_core.Store(path).blocks()[0]["begin_ns"]) + 1
    assert sum(_core.count(store, None, None, None, None, end).values()) >= 1


def test_a_growing_file_is_counted_while_others_refresh_it(tmp_path: Path) -> None:
    path = tmp_path / "growing.sbt"
    array = np.zeros(5000, ts.EVENT_DTYPE)
    array["type"] = 1
    failures: list[Any] = []

    def count(store: _core.Store) -> None:
        last = 0
        for _ in range(40):
            now = _core.count(store, None, None, None, None, None).get("KernelLaunch", 0)
            if now < last:
                failures.append((last, now))
            last = now

    with ts.SBTWriter(path) as writer:
        writer.write_events(array)
        store = _core.Store(path)
        threads = [threading.Thread(target=count, args=(store,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            writer.write_events(array)
            store.refresh()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    store.refresh()
    assert failures == []
    assert _core.count(store, None, None, None, None, None) == {"KernelLaunch": 21 * 5000}
