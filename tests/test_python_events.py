"""Events: arrays of events with their tables, in memory."""

import gc
import sys

import numpy as np
import pytest
from python_samples import EVENTS, full_event, sample

import tracesmith as ts
from tracesmith import _core


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
def test_an_event_comes_back_as_it_went_in(event: ts.TraceEvent) -> None:
    assert ts.Events([event])[0] == event


def test_all_types_come_back() -> None:
    events = [ts.TraceEvent(kind, 1, name=kind.name) for kind in ts.EventType]
    assert list(ts.Events.from_list(events)) == events


def test_counter_events_come_back() -> None:
    counter = ts.CounterEvent("GPU Memory (MB)", 1024.5, 9, "MB", device_id=2, track_id=3)
    events = ts.Events([counter, ts.TraceEvent(1), ts.CounterEvent("n", -0.0)])
    assert events.counters() == [counter, ts.CounterEvent("n", 0.0)]
    assert events["value"][:1].view("f8")[0] == 1024.5
    assert events[0].type is ts.EventType.Counter and events[0].value == 1024.5


def test_memory_events_come_back() -> None:
    events = [
        ts.MemoryEvent(1, 2, 3, 4096, 0xFFFF_FFFF_FFFF_FFFF, True, "caching", ts.MemoryCategory.Gradient),
        ts.MemoryEvent(2, 0, 0, 0, 0, False),
        ts.MemoryEvent(3, category=99),
    ]
    assert ts.Events(events).memory_events() == events


def test_the_size_of_a_copy_is_its_value() -> None:
    event = ts.TraceEvent(ts.EventType.MemcpyD2H, memory_params=ts.MemoryParams(1, 2, 640))
    assert ts.Events([event])[0].value == 640


def test_device_zero_is_a_device() -> None:
    events = ts.Events([ts.TraceEvent(ts.EventType.KernelLaunch), ts.TraceEvent(ts.EventType.Marker)])
    assert list(events["device"] != 0) == [True, False]
    assert list(events["stream"] != 0) == [True, False]
    joined = events + sample(3)
    assert joined["device"][0] != 0 and joined["stream"][0] != 0


def test_what_is_no_str_in_metadata_is_written_as_text() -> None:
    assert ts.Events([ts.TraceEvent(metadata={"n": 5})])[0].metadata == {"n": "5"}


def test_equal_metadata_is_one_row_whatever_its_order() -> None:
    events = ts.Events(
        [ts.TraceEvent(metadata={"a": "1", "b": "2"}), ts.TraceEvent(metadata={"b": "2", "a": "1"})]
    )
    assert events["extra"][0] == events["extra"][1] != 0


@pytest.mark.parametrize(
    "name",
    ["", "ü€😀", "nul\0inside", "x" * (1 << 20), b"\xff\xfe caf\xe9".decode("utf-8", "surrogateescape")],
)
def test_any_name_comes_back(name: str) -> None:
    events = ts.Events([ts.TraceEvent(name=name), ts.TraceEvent(name="other")])
    assert events[0].name == name and list(events.names) == [name, "other"]
    assert events.tables.names.find(name) == events["name"][0]


@pytest.mark.parametrize(
    "field", ["timestamp", "duration", "device_id", "stream_id", "correlation_id", "thread_id"]
)
@pytest.mark.parametrize("value", [2**64, -1])
def test_a_number_that_does_not_fit_is_refused_by_name(field: str, value: int) -> None:
    with pytest.raises(OverflowError, match=field):
        ts.Events([ts.TraceEvent(**{field: value})])


@pytest.mark.parametrize(
    ("event", "error"),
    [
        (ts.TraceEvent(timestamp=1.5), TypeError),
        (ts.TraceEvent(name=b"bytes"), TypeError),
        (ts.TraceEvent(name="\ud800"), UnicodeEncodeError),
        (ts.TraceEvent(0xFF00), ValueError),
        (ts.TraceEvent(2**70), OverflowError),
        (ts.TraceEvent(metadata={1: "key"}), TypeError),
        (ts.TraceEvent(ts.EventType.Counter, value="much"), TypeError),
        (ts.TraceEvent(value=-1), OverflowError),
        (ts.TraceEvent(flow_info=7), AttributeError),
        (object(), TypeError),
        (None, TypeError),
    ],
)
def test_what_is_no_event_is_refused(event: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        ts.Events([event])  # type: ignore[list-item]


def test_columns_and_the_array_are_views() -> None:
    events = sample()
    assert events.array.dtype == ts.EVENT_DTYPE and events.array.itemsize == 64
    assert np.shares_memory(events["duration"], events.array)
    assert np.shares_memory(events[10:20].array, events.array)
    assert np.asarray(events) is events.array
    with pytest.raises(ValueError, match="read-only"):
        events.array["duration"] = 1


@pytest.mark.parametrize(
    "key",
    [slice(None), slice(3, 40), slice(40, 3), slice(None, None, -1), slice(1, None, 7), [5, 5, -1, 0], []],
    ids=str,
)
def test_a_selection_takes_the_extensions_along(key: slice | list[int]) -> None:
    events, plain = sample(), list(sample())
    wanted = plain[key] if isinstance(key, slice) else [plain[i] for i in key]
    assert list(events[key]) == wanted
    assert list(events[key][::-1]) == wanted[::-1]


def test_a_mask_takes_the_extensions_along() -> None:
    events = sample()
    mask = events["timestamp"] % 2 == 0
    assert list(events[mask]) == [event for event in events if event.timestamp % 2 == 0]
    assert list(events[mask].extensions("flow")["row"]) == [0, 3, 6, 9, 12, 15, 18, 21, 24]


def test_an_index_past_the_end_is_refused() -> None:
    events = sample(3)
    assert events[-1] == events[2]
    for index in (3, -4):
        with pytest.raises(IndexError):
            events[index]
    with pytest.raises(ValueError):
        events["no such column"]


def test_extensions_are_typed_columns() -> None:
    events = ts.Events([ts.TraceEvent(1), full_event(), ts.MemoryEvent(ptr=0xABC, allocator_name="pool")])
    assert events.extension_schemas == ["allocation", "call_stack", "flow", "memory"]
    memory = events.extensions("memory")
    assert memory.dtype.names == ("row", "source", "destination", "size")
    assert memory.tolist() == [(1, 1, 2**64 - 1, 3)]
    allocation = events.extensions("allocation")
    assert allocation["row"].tolist() == [2] and allocation["address"].tolist() == [0xABC]
    assert events.tables.names[int(allocation["allocator"][0])] == "pool"
    assert len(events.extensions("none of these")) == 0


def test_events_of_one_trace_share_its_tables() -> None:
    events = sample()
    joined = events[:10] + events[30:]
    assert joined.tables is events.tables
    assert list(joined) == list(events)[:10] + list(events)[30:]


def test_concatenation_across_traces_translates_every_id() -> None:
    shifted = ts.Events([ts.TraceEvent(1, 0, name="something else"), ts.MemoryEvent(allocator_name="shift")])
    parts = [sample(7), shifted, ts.Events(EVENTS), ts.Events([ts.MemoryEvent(1, allocator_name="pool")])]
    joined = ts.Events.concat(parts)
    assert list(joined) == [event for part in parts for event in part]
    assert joined.memory_events()[-1].allocator_name == "pool"
    assert [e.allocator_name for e in joined.memory_events()] == ["shift", "pool"]
    assert len(parts[1]) == 2 and parts[1].names[0] == "something else"


def test_concatenating_nothing_is_nothing() -> None:
    assert len(ts.Events.concat([])) == 0 and len(ts.Events() + ts.Events()) == 0
    with pytest.raises(TypeError):
        ts.Events() + [1]  # type: ignore[operator]


def test_sorting_is_stable_and_takes_extensions_along() -> None:
    events = ts.Events(
        [full_event(5, "a"), full_event(3, "b"), ts.TraceEvent(1, 5, name="c"), full_event(1, "d")]
    )
    ordered = events.sorted_by_time()
    assert list(ordered.names) == ["d", "b", "a", "c"]
    assert list(ordered) == sorted(events, key=lambda event: event.timestamp)
    assert list(events.names) == ["a", "b", "c", "d"]


def test_texts_are_found_by_row_slice_and_array() -> None:
    events = sample(5)
    names = events.tables.names
    assert names[0] == "" and names[-1] == names[len(names) - 1]
    assert list(names[1:3]) == [names[1], names[2]]
    assert list(names[events["name"]]) == list(events.names) == [f"k{i}" for i in range(5)]
    assert names.find("no such text") == 0
    for rows in (len(names), np.array([len(names)]), np.array([-1])):
        with pytest.raises(IndexError):
            names[rows]
    with pytest.raises(TypeError):
        names[np.array([0.5])]


def test_stacks_are_tuples_of_frames_from_the_inside_out() -> None:
    events = ts.Events([full_event()])
    stack = events.tables.stacks[int(events["stack"][0])]
    assert [frame.function_name for frame in stack] == ["inner", "outer"]
    assert events.tables.stacks[0] == () and len(events.tables.stacks) == 3
    with pytest.raises(IndexError):
        events.tables.stacks[3]


def test_tables_are_structured_arrays_with_row_zero() -> None:
    events = ts.Events([full_event()])
    streams = events.tables.streams
    assert streams.dtype.names is not None and streams.dtype.names[:4] == (
        "process",
        "device",
        "context",
        "raw_id",
    )
    assert streams[events["stream"]]["raw_id"].tolist() == [7]
    assert events.tables.devices["ordinal"][events["device"]].tolist() == [3]
    assert events.tables.table("threads")[0].item() == (0, 0, 0)
    with pytest.raises(ValueError, match="no table dragons"):
        events.tables.table("dragons")


def test_slices_keep_what_they_need_alive() -> None:
    events = sample()
    array, part = events.array, events[5:9]
    expected = list(part)
    del events
    gc.collect()
    assert array["timestamp"].tolist() == list(range(50)) and list(part) == expected


def test_nothing_leaks() -> None:
    def once() -> None:
        events = sample(20)
        events[::2].names, list(events), events + ts.Events(EVENTS), events.sorted_by_time()
        with pytest.raises(TypeError):
            ts.Events([ts.TraceEvent(name=None)])  # type: ignore[arg-type]

    def references() -> tuple[int, ...]:
        gc.collect()
        return sys.getrefcount(ts.EVENT_DTYPE), len(gc.get_objects())

    once()
    once()
    before = references()
    for _ in range(20):
        once()
    after = references()
    assert after[0] == before[0] and after[1] - before[1] < 20


def test_ids_of_nothing_resolve_to_nothing() -> None:
    array = np.zeros(4, ts.EVENT_DTYPE)
    for field in ("name", "stack", "thread", "stream", "device", "extra"):
        array[field] = 2**32 - 1
    array["flags"] = [1 << 3, 2 << 3, 3 << 3 | 2, 7 << 3]
    array["type"] = [1, 65000, ts.EventType.Counter, ts.EventType.MemAlloc]
    events = ts.Events._of(ts.Events().tables, array, *_core.Store().build([])[1:])
    assert [event.name for event in events] == [""] * 4 and events[1].type == 65000
    assert events[0].stream_id == events[0].thread_id == 0 and events[0].kernel_params is None
    assert events.counters()[0].unit == "" and events.memory_events()[0].allocator_name == ""
    assert list(events.names) == [""] * 4
