"""Events for the tests of the Python package: everything that one can carry."""

import tracesmith as ts


def full_event(timestamp: int = 100, name: str = "kernel") -> ts.TraceEvent:
    return ts.TraceEvent(
        ts.EventType.KernelLaunch,
        timestamp,
        name=name,
        duration=5,
        device_id=3,
        stream_id=7,
        correlation_id=2**64 - 1,
        thread_id=12,
        metadata={"b": "2", "a": "1"},
        flow_info=ts.FlowInfo(9, ts.FlowType.FwdBwd, True),
        call_stack=ts.CallStack([ts.StackFrame(1, "inner", "f.py", 3, 1), ts.StackFrame(2, "outer")], 77),
        kernel_params=ts.KernelParams(4, 5, 6, 7, 8, 9, 10, 11),
        memory_params=ts.MemoryParams(1, 2**64 - 1, 3),
        value=3,
    )


EVENTS = [
    full_event(),
    ts.TraceEvent(ts.EventType.Marker, 2**64 - 1, name="mark"),
    ts.TraceEvent(ts.EventType.MemcpyH2D, 5, duration=2**64 - 1, value=4096),
    ts.TraceEvent(ts.EventType.Counter, 6, name="power", value=-1.5),
    ts.TraceEvent(ts.EventType.Custom, 7, metadata={"only": "this"}, value=2**64 - 1),
    ts.TraceEvent(ts.EventType.CpuOp, 8, call_stack=ts.CallStack([ts.StackFrame(function_name="f")])),
    ts.TraceEvent(ts.EventType.RangeStart, 9, flow_info=ts.FlowInfo(1)),
    ts.TraceEvent(200, 10, name="a type without a name"),
    ts.TraceEvent(),
]


def sample(count: int = 50) -> ts.Events:
    """Every third event carries extension records."""
    return ts.Events(
        full_event(i, f"k{i}") if i % 3 == 0 else ts.TraceEvent(1, i, name=f"k{i}") for i in range(count)
    )
