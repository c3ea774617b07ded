"""The objects that describe one event."""

import pickle
import time

import pytest

import tracesmith as ts


def test_numbers_are_those_that_users_know() -> None:
    assert ts.EventType.KernelLaunch == 1 and ts.EventType.NCCLComplete == 21 and ts.EventType.Custom == 255
    assert [int(policy) for policy in ts.OverflowPolicy] == [0, 1, 2]
    assert ts.OverflowPolicy.DropOldest.name == "DropOldest"
    assert [(flow.name, int(flow)) for flow in ts.FlowType] == [
        ("NoFlow", 0), ("FwdBwd", 1), ("AsyncCpuGpu", 2), ("Custom", 255),
    ]  # fmt: skip
    assert ts.MemoryCategory.Unknown == 0 and ts.MemoryCategory.Cached == 5


def test_event_types_pickle_and_print() -> None:
    assert pickle.loads(pickle.dumps(ts.EventType.Marker)) is ts.EventType.Marker
    assert repr(ts.EventType.Marker) == "EventType.Marker"


def test_an_event_has_the_promised_attributes() -> None:
    event = ts.TraceEvent()
    assert event.type is ts.EventType.Unknown and event.name == "" and event.timestamp == 0
    event.type = ts.EventType.KernelLaunch
    event.name = "my_kernel"
    event.metadata["grid_dim"] = "256x256x1"
    assert event.metadata == {"grid_dim": "256x256x1"}
    assert ts.TraceEvent(ts.EventType.Marker, 5).timestamp == 5


def test_metadata_belongs_to_one_event() -> None:
    given = {"a": "1"}
    event, other = ts.TraceEvent(metadata=given), ts.TraceEvent()
    event.metadata["b"] = "2"
    assert given == {"a": "1"} and other.metadata == {}


def test_a_misspelt_attribute_is_refused() -> None:
    with pytest.raises(AttributeError):
        ts.TraceEvent().timestmap = 1  # type: ignore[attr-defined]


def test_equality_looks_at_everything() -> None:
    assert ts.TraceEvent(1, 5, name="k") == ts.TraceEvent(1, 5, name="k")
    assert ts.TraceEvent(1, 5, name="k") != ts.TraceEvent(1, 5, name="k", metadata={"a": "b"})
    assert ts.FlowInfo(1) != ts.KernelParams(1)


def test_repr_shows_what_is_set() -> None:
    assert repr(ts.TraceEvent(ts.EventType.Marker, 7)) == "TraceEvent(type=EventType.Marker, timestamp=7)"
    assert repr(ts.CounterEvent("m", 1.5)) == "CounterEvent(counter_name='m', value=1.5)"


def test_call_stacks_say_how_deep_they_are() -> None:
    stack = ts.CallStack([ts.StackFrame(function_name="f")])
    assert (len(stack), stack.depth(), stack.empty()) == (1, 1, False)
    stack.frames.append(ts.StackFrame(16))
    assert len(stack) == 2 and ts.CallStack().empty()


def test_words_for_types_bytes_and_durations() -> None:
    assert ts.event_type_to_string(ts.EventType.MemcpyH2D) == "MemcpyH2D"
    assert ts.event_type_to_string(7777) == "Unknown"
    assert [ts.format_bytes(n) for n in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.50 KiB", "5.00 GiB"]
    assert [ts.format_duration(n) for n in (999, 1500, 2_500_000, 3 * 10**9)] == [
        "999 ns", "1.50 us", "2.50 ms", "3.00 s",
    ]  # fmt: skip


def test_timestamps_are_those_of_the_monotonic_clock() -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    assert before <= ts.get_current_timestamp() <= time.clock_gettime_ns(time.CLOCK_MONOTONIC)
