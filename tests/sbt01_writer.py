"""Files of the earlier TraceSmith, SBT 0.1, as their layout is documented: for tests."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

HEADER_BYTES = 72


def varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def text(value: str) -> bytes:
    return varint(len(value.encode())) + value.encode()


@dataclass
class Event:
    type: int
    timestamp: int
    name: str = ""
    duration: int | None = None
    device: int = 0
    stream: int = 0
    correlation: int = 0
    kernel: tuple[int, ...] | None = None
    memory: tuple[int, int, int] | None = None
    stack: tuple[int, list[tuple[int, str, str, int]]] | None = None


@dataclass
class File:
    events: list[Event]
    metadata: tuple[str, str, int, int, str, int] | None = None
    devices: list[tuple[int, str, str, tuple[int, ...]]] = field(default_factory=list)
    finished: bool = True

    def __bytes__(self) -> bytes:
        body, at = bytearray(), dict.fromkeys(("metadata", "strings", "devices", "events"), 0)
        self._strings: dict[str, int] = {}

        def section(name: str, data: bytes) -> None:
            at[name] = HEADER_BYTES + len(body)
            body.extend(data)

        if self.metadata is not None:
            section("metadata", b"\1" + self._metadata(*self.metadata))
        if self.devices:
            section("devices", b"\3" + varint(len(self.devices)) + b"".join(map(self._device, self.devices)))
        if self.events:
            section("events", b"\4" + self._events())
        if self.finished:
            strings = map(text, self._strings)
            section("strings", b"\2" + varint(len(self._strings)) + b"".join(strings))
            body.append(255)
        else:
            at = dict.fromkeys(at, 0)
        offsets = at["metadata"], at["strings"], at["devices"], at["events"], 0
        count = len(self.events) if self.finished else 0
        flags = 3 if self.finished and self._strings else 1
        return struct.pack("<4sHHII6QB7x", b"SBT\0", 0, 1, flags, HEADER_BYTES, *offsets, count, 0) + body

    @staticmethod
    def _metadata(application: str, command: str, start: int, end: int, host: str, pid: int) -> bytes:
        return text(application) + text(command) + varint(start) + varint(end) + text(host) + varint(pid)

    @staticmethod
    def _device(device: tuple[int, str, str, tuple[int, ...]]) -> bytes:
        ordinal, name, vendor, numbers = device
        return varint(ordinal) + text(name) + text(vendor) + b"".join(map(varint, numbers))

    def _string(self, value: str) -> bytes:
        return varint(self._strings.setdefault(value, len(self._strings)))

    def _events(self) -> bytes:
        made = varint(self.events[0].timestamp)
        before = self.events[0].timestamp
        for event in self.events:
            made += self._event(event, (event.timestamp - before) % 2**64)
            before = event.timestamp
        return made

    def _event(self, event: Event, delta: int) -> bytes:
        parts = (event.duration, event.kernel, event.memory, event.stack)
        flags = sum(1 << bit for bit, part in enumerate(parts) if part is not None)
        made = bytes([event.type, flags]) + varint(delta)
        made += b"" if event.duration is None else varint(event.duration)
        made += (
            varint(event.device) + varint(event.stream) + varint(event.correlation) + self._string(event.name)
        )
        made += b"".join(map(varint, event.kernel or ())) + b"".join(map(varint, event.memory or ()))
        if event.stack is not None:
            tid, frames = event.stack
            made += varint(tid) + varint(len(frames))
            for address, function, file, line in frames:
                made += varint(address) + self._string(function) + self._string(file) + varint(line)
        return made
