"""LLVM XRay logs as their layout is documented, for tests: records by hand, byte by byte."""

import struct

ENTER, EXIT, TAIL_EXIT, ENTER_ARGUMENT = range(4)
NEW_BUFFER, END_OF_BUFFER, NEW_CPU, WRAP, WALL, CUSTOM, ARGUMENT, EXTENTS, TYPED, PID = range(10)


def header(version: int, kind: int, frequency: int = 10**9, buffer_bytes: int = 0) -> bytes:
    return struct.pack("<HHIQQ8x", version, kind, 3, frequency, buffer_bytes)


def basic(
    kind: int, function: int, ticks: int, tid: int = 7, pid: int = 5, cpu: int = 0, record: int = 0
) -> bytes:
    return struct.pack("<HBBiQII8x", record, cpu, kind, function, ticks, tid, pid)


def basic_argument(function: int, value: int, tid: int = 7, pid: int = 5) -> bytes:
    return struct.pack("<HHiIIQ8x", 1, 0, function, tid, pid, value)


def metadata(kind: int, body: bytes = b"") -> bytes:
    return bytes([kind << 1 | 1]) + body.ljust(15, b"\0")


def function(kind: int, number: int, delta: int) -> bytes:
    return struct.pack("<II", number << 4 | kind << 1, delta)


def cpu(number: int, ticks: int) -> bytes:
    return metadata(NEW_CPU, struct.pack("<HQ", number, ticks))


def custom(text: bytes, *, version: int = 5, time: int = 0, processor: int = 0) -> bytes:
    if version >= 5:
        body = struct.pack("<ii", len(text), time)
    else:
        body = struct.pack("<iQ", len(text), time) + (struct.pack("<H", processor) if version == 4 else b"")
    return metadata(CUSTOM, body) + text


def typed(kind: int, text: bytes, delta: int) -> bytes:
    return metadata(TYPED, struct.pack("<iiH", len(text), delta, kind)) + text


def buffer(
    *records: bytes, tid: int = 7, pid: int = 5, wall_us: int = 1_500_000, version: int = 5, size: int = 0
) -> bytes:
    """A thread's buffer; in version 1 with an end mark and rubbish up to its size."""
    seconds, micros = divmod(wall_us, 10**6)
    made = metadata(NEW_BUFFER, struct.pack("<i", tid)) + metadata(WALL, struct.pack("<QI", seconds, micros))
    made += metadata(PID, struct.pack("<i", pid)) if version >= 3 else b""
    made += b"".join(records)
    if version == 1:
        return (made + metadata(END_OF_BUFFER)).ljust(size, b"\xa5")
    return metadata(EXTENTS, struct.pack("<Q", len(made))) + made
