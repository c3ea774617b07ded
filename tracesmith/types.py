"""The objects that describe one event, for building events by hand and looking at single ones.

Whole traces are arrays (tracesmith.Events); nothing here is made by the million.
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING, Any

try:  # either module knows the numbers; the capture core does not need NumPy
    from tracesmith._capture import EVENT_TYPES
except ImportError:
    from tracesmith._core import EVENT_TYPES

get_current_timestamp = time.monotonic_ns


class _Numbers(enum.IntEnum):
    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    __str__ = __repr__


if TYPE_CHECKING:

    class EventType(_Numbers):
        """What kind of thing an event is. The numbers are those on disk."""

        Unknown = 0
        KernelLaunch = 1
        KernelComplete = 2
        MemcpyH2D = 3
        MemcpyD2H = 4
        MemcpyD2D = 5
        MemsetDevice = 6
        StreamSync = 7
        DeviceSync = 8
        EventRecord = 9
        EventSync = 10
        StreamCreate = 11
        StreamDestroy = 12
        ContextCreate = 13
        ContextDestroy = 14
        MemAlloc = 15
        MemFree = 16
        Marker = 17
        RangeStart = 18
        RangeEnd = 19
        NCCLStart = 20
        NCCLComplete = 21
        MemcpyP2P = 22
        MemcpyH2H = 23
        EventWait = 24
        Counter = 25
        Range = 26
        CpuOp = 27
        RuntimeCall = 28
        Communication = 29
        PythonCall = 30
        Overhead = 31
        Custom = 255

else:
    EventType = _Numbers("EventType", EVENT_TYPES, module=__name__)
    EventType.__doc__ = "What kind of thing an event is. The numbers are those on disk."


class FlowType(_Numbers):
    """What a flow arrow connects."""

    NoFlow = 0
    FwdBwd = 1
    AsyncCpuGpu = 2
    Custom = 255


class MemoryCategory(_Numbers):
    """What an allocation is for."""

    Unknown = 0
    Activation = 1
    Gradient = 2
    Parameter = 3
    Temporary = 4
    Cached = 5


class OverflowPolicy(_Numbers):
    """What a session does when its buffers are full."""

    DropOldest = 0
    DropNewest = 1
    Block = 2


class _Record:
    """Equality and repr over __slots__; repr leaves out what has its default value."""

    __slots__: tuple[str, ...] = ()
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __repr__(self) -> str:
        plain = type(self)()
        values = ((name, getattr(self, name)) for name in self.__slots__)
        shown = (f"{name}={value!r}" for name, value in values if value != getattr(plain, name))
        return f"{type(self).__name__}({', '.join(shown)})"


class FlowInfo(_Record):
    """One end of an arrow between events: both ends carry the same id."""

    __slots__ = ("id", "type", "is_start")

    def __init__(self, id: int = 0, type: FlowType = FlowType.NoFlow, is_start: bool = False) -> None:
        self.id = id
        self.type = type
        self.is_start = is_start


class KernelParams(_Record):
    """The shape of a kernel launch."""

    __slots__ = (
        "grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared_mem_bytes",
        "registers_per_thread",
    )  # fmt: skip

    def __init__(
        self,
        grid_x: int = 1,
        grid_y: int = 1,
        grid_z: int = 1,
        block_x: int = 1,
        block_y: int = 1,
        block_z: int = 1,
        shared_mem_bytes: int = 0,
        registers_per_thread: int = 0,
    ) -> None:
        self.grid_x, self.grid_y, self.grid_z = grid_x, grid_y, grid_z
        self.block_x, self.block_y, self.block_z = block_x, block_y, block_z
        self.shared_mem_bytes = shared_mem_bytes
        self.registers_per_thread = registers_per_thread


class MemoryParams(_Record):
    """Where a copy reads and writes, and how much."""

    __slots__ = ("src_address", "dst_address", "size_bytes")

    def __init__(self, src_address: int = 0, dst_address: int = 0, size_bytes: int = 0) -> None:
        self.src_address = src_address
        self.dst_address = dst_address
        self.size_bytes = size_bytes


class StackFrame(_Record):
    """One call. kind: 0 native, 1 Python."""

    __slots__ = ("address", "function_name", "file_name", "line_number", "kind")

    def __init__(
        self,
        address: int = 0,
        function_name: str = "",
        file_name: str = "",
        line_number: int = 0,
        kind: int = 0,
    ) -> None:
        self.address = address
        self.function_name = function_name
        self.file_name = file_name
        self.line_number = line_number
        self.kind = kind


class CallStack(_Record):
    """Calls, the innermost first. thread_id: 0 for the event's own thread."""

    __slots__ = ("frames", "thread_id")

    def __init__(self, frames: Any = (), thread_id: int = 0) -> None:
        self.frames = list(frames)
        self.thread_id = thread_id

    def empty(self) -> bool:
        return not self.frames

    def depth(self) -> int:
        return len(self.frames)

    def __len__(self) -> int:
        return len(self.frames)


class TraceEvent(_Record):
    """One event, built by hand. metadata is a real dict; value is an int or, for counters, a float."""

    __slots__ = (
        "type", "timestamp", "name", "duration", "device_id", "stream_id", "correlation_id", "thread_id",
        "metadata", "flow_info", "call_stack", "kernel_params", "memory_params", "value",
    )  # fmt: skip

    def __init__(
        self,
        type: EventType | int = EventType.Unknown,
        timestamp: int = 0,
        *,
        name: str = "",
        duration: int = 0,
        device_id: int = 0,
        stream_id: int = 0,
        correlation_id: int = 0,
        thread_id: int = 0,
        metadata: dict[str, str] | None = None,
        flow_info: FlowInfo | None = None,
        call_stack: CallStack | None = None,
        kernel_params: KernelParams | None = None,
        memory_params: MemoryParams | None = None,
        value: int | float | None = None,
    ) -> None:
        self.type = type
        self.timestamp = timestamp
        self.name = name
        self.duration = duration
        self.device_id = device_id
        self.stream_id = stream_id
        self.correlation_id = correlation_id
        self.thread_id = thread_id
        self.metadata = {} if metadata is None else dict(metadata)
        self.flow_info = flow_info
        self.call_stack = call_stack
        self.kernel_params = kernel_params
        self.memory_params = memory_params
        self.value = value


class CounterEvent(_Record):
    """One sample of a named quantity."""

    __slots__ = ("counter_name", "value", "timestamp", "unit", "device_id", "track_id")

    def __init__(
        self,
        counter_name: str = "",
        value: float = 0.0,
        timestamp: int = 0,
        unit: str = "",
        *,
        device_id: int = 0,
        track_id: int = 0,
    ) -> None:
        self.counter_name = counter_name
        self.value = value
        self.timestamp = timestamp
        self.unit = unit
        self.device_id = device_id
        self.track_id = track_id


class MemoryEvent(_Record):
    """One allocation or free."""

    __slots__ = (
        "timestamp", "device_id", "thread_id", "bytes", "ptr", "is_allocation", "allocator_name",
        "category",
    )  # fmt: skip

    def __init__(
        self,
        timestamp: int = 0,
        device_id: int = 0,
        thread_id: int = 0,
        bytes: int = 0,
        ptr: int = 0,
        is_allocation: bool = True,
        allocator_name: str = "",
        category: MemoryCategory | int = MemoryCategory.Unknown,
    ) -> None:
        self.timestamp = timestamp
        self.device_id = device_id
        self.thread_id = thread_id
        self.bytes = bytes
        self.ptr = ptr
        self.is_allocation = is_allocation
        self.allocator_name = allocator_name
        self.category = category


class DeviceInfo(_Record):
    """What is known about a GPU. Memory in bytes, clocks in kHz."""

    __slots__ = (
        "device_id", "name", "vendor", "compute_major", "compute_minor", "total_memory",
        "memory_clock_rate", "memory_bus_width", "multiprocessor_count", "max_threads_per_mp", "clock_rate",
        "warp_size",
    )  # fmt: skip

    def __init__(
        self,
        device_id: int = 0,
        name: str = "",
        vendor: str = "",
        compute_major: int = 0,
        compute_minor: int = 0,
        total_memory: int = 0,
        memory_clock_rate: int = 0,
        memory_bus_width: int = 0,
        multiprocessor_count: int = 0,
        max_threads_per_mp: int = 0,
        clock_rate: int = 0,
        warp_size: int = 0,
    ) -> None:
        self.device_id = device_id
        self.name = name
        self.vendor = vendor
        self.compute_major = compute_major
        self.compute_minor = compute_minor
        self.total_memory = total_memory
        self.memory_clock_rate = memory_clock_rate
        self.memory_bus_width = memory_bus_width
        self.multiprocessor_count = multiprocessor_count
        self.max_threads_per_mp = max_threads_per_mp
        self.clock_rate = clock_rate
        self.warp_size = warp_size


class TraceMetadata(_Record):
    """What a trace says about its run. extra: every further entry of its info table."""

    __slots__ = (
        "application_name", "command_line", "start_time", "end_time", "hostname", "process_id", "devices",
        "extra",
    )  # fmt: skip

    def __init__(
        self,
        application_name: str = "",
        command_line: str = "",
        start_time: int = 0,
        end_time: int = 0,
        hostname: str = "",
        process_id: int = 0,
        devices: Any = (),
        extra: dict[str, str] | None = None,
    ) -> None:
        self.application_name = application_name
        self.command_line = command_line
        self.start_time = start_time
        self.end_time = end_time
        self.hostname = hostname
        self.process_id = process_id
        self.devices = list(devices)
        self.extra = {} if extra is None else dict(extra)


_EVENT_TYPE_OF = {int(member): member for member in EventType}


def event_type_of(number: int) -> EventType | int:
    """The member for a number, or the number itself when this version has no name for it."""
    return _EVENT_TYPE_OF.get(number, number)


def event_type_to_string(type: EventType | int) -> str:
    """The name of an event type, "Unknown" for a number without one."""
    return EventType(type).name if type in _EVENT_TYPE_OF else "Unknown"


def format_bytes(count: int) -> str:
    """1536 → '1.50 KiB'."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{count} B" if unit == "B" else f"{size:.2f} {unit}"


def format_duration(ns: int) -> str:
    """1500 → '1.50 us'."""
    for unit, length in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if abs(ns) >= length:
            return f"{ns / length:.2f} {unit}"
    return f"{ns} ns"
