"""A live session: TracingSession records into a file and reads it back while it runs."""

from __future__ import annotations

import atexit
import enum
import os
import shutil
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any

from tracesmith import _capture
from tracesmith._capture import annotate
from tracesmith.errors import StateError
from tracesmith.types import EventType, OverflowPolicy

if TYPE_CHECKING:
    from tracesmith.events import Events

__all__ = ["TracingConfig", "TracingMode", "TracingSession", "TracingState", "TracingStatistics", "annotate"]

EVENT_BYTES = 64


class TracingState(enum.IntEnum):
    """What a session is doing."""

    Stopped = 0
    Starting = 1
    Running = 2
    Stopping = 3


class TracingMode(enum.IntEnum):
    """Where a session's events go: a private file, or one that was asked for."""

    InProcess = 0
    File = 1


class TracingConfig:
    """How a session records. buffer_size_kb 0 means what the session was made with."""

    def __init__(
        self,
        *,
        output_file: str | os.PathLike[str] = "",
        write_to_file: bool = True,
        buffer_size_kb: int = 0,
        overflow_policy: OverflowPolicy | int = OverflowPolicy.DropOldest,
        block_limit_ms: int = 1000,
        duration_ms: int = 0,
        compress: bool = False,
        application_name: str = "",
        spool_directory: str | os.PathLike[str] | None = None,
    ) -> None:
        self.output_file = output_file
        self.write_to_file = write_to_file
        self.buffer_size_kb = buffer_size_kb
        self.overflow_policy = overflow_policy
        self.block_limit_ms = block_limit_ms
        self.duration_ms = duration_ms
        self.compress = compress
        self.application_name = application_name
        self.spool_directory = spool_directory


class TracingStatistics:
    """The counts of a session: events_emitted = events_delivered + events_dropped once it stopped.

    counts holds every number that the capture core keeps, by name.
    """

    def __init__(self, counts: dict[str, Any] | None = None) -> None:
        self.counts = counts or {}
        self.events_emitted: int = self.counts.get("emitted", 0)
        self.events_delivered: int = self.counts.get("delivered", 0)
        self.events_dropped: int = self.counts.get("dropped", 0)
        self.start_time: int = self.counts.get("begin_ns", 0)
        self.stop_time: int = self.counts.get("end_ns", 0)

    def duration_ms(self) -> float:
        end = self.stop_time or (_capture.now_ns() if self.start_time else 0)
        return (end - self.start_time) / 1e6

    def __repr__(self) -> str:
        return (
            f"TracingStatistics(events_emitted={self.events_emitted}, "
            f"events_delivered={self.events_delivered}, events_dropped={self.events_dropped}, "
            f"duration_ms={self.duration_ms():.3f})"
        )


def _private_file() -> str:
    """A file nobody else knows, in memory where that is possible."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    number, path = tempfile.mkstemp(prefix="tracesmith-session-", suffix=".sbt", dir=folder)
    os.close(number)
    return path


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner and os.path.exists(path):
        os.unlink(path)


class TracingSession(_capture.Session):
    """Records what is emitted into it, from any thread and in forked children too.

    One session runs at a time per process. Without an output file the events go to a private one,
    which lives as long as the session object: get_events() and export_to_file() read it.
    """

    def __init__(self, event_buffer_size: int = 0, counter_buffer_size: int = 0) -> None:
        """Sizes in events; both share one buffer. 0: 64 MiB."""
        super().__init__()
        self._buffer_bytes = (event_buffer_size + counter_buffer_size) * EVENT_BYTES
        self._counts: dict[str, Any] = {}
        self._state = TracingState.Stopped
        self._mode = TracingMode.InProcess
        self._path = ""
        self._owner = 0
        self._timer: threading.Timer | None = None
        self._stop_lock = threading.Lock()  # held while the file is being finished
        self._cleanup: weakref.finalize | None = None

    def start(self, config: TracingConfig | None = None, *, output: str | os.PathLike[str] = "") -> bool:  # type: ignore[override]
        """Begin to record, into output or config.output_file if either is given. A stopped session
        may be started again; what it held before is gone."""
        config = config or TracingConfig()
        path = os.fspath(output or (config.output_file if config.write_to_file else ""))
        if self.active:
            raise StateError("this session is running already: stop it first")
        self.clear()
        self._mode = TracingMode.File if path else TracingMode.InProcess
        self._path = path or _private_file()
        self._owner = os.getpid()
        if not path:
            self._cleanup = weakref.finalize(self, _remove, self._path, self._owner)
        self._state = TracingState.Starting
        try:
            super().start(
                self._path,
                buffer_bytes=config.buffer_size_kb * 1024 or self._buffer_bytes,
                policy=int(config.overflow_policy),
                block_limit_ms=config.block_limit_ms,
                compress=config.compress,
                application=config.application_name or None,
                spool=config.spool_directory,
            )
        except BaseException:
            self._state = TracingState.Stopped
            self.clear()
            raise
        self._state = TracingState.Running
        _running.add(self)
        if config.duration_ms > 0:
            self._timer = threading.Timer(config.duration_ms / 1000, self._stop_if_running)
            self._timer.daemon = True
            self._timer.start()
        return True

    def stop(self) -> TracingStatistics:  # type: ignore[override]
        """Stop recording; everything emitted is in the file, or counted as dropped, when this returns."""
        if self._timer is not None and self._timer is not threading.current_thread():
            self._timer.cancel()
        self._timer = None
        with self._stop_lock:
            self._state = TracingState.Stopping
            try:
                self._counts = super().stop()
            finally:
                self._state = TracingState.Stopped
                _running.discard(self)
        return self.get_statistics()

    def _stop_if_running(self) -> None:
        if self.active and self._owner == os.getpid():
            self.stop()

    def clear(self) -> None:
        """Forget the events of a stopped session."""
        if self.active:
            raise StateError("the session is running: stop it before clearing it")
        if self._cleanup is not None:
            self._cleanup()
        self._cleanup = None
        self._path = ""
        self._counts = {}

    def is_active(self) -> bool:
        return self.active

    def get_state(self) -> TracingState:
        return self._state

    def get_mode(self) -> TracingMode:
        return self._mode

    @property
    def path(self) -> str:
        """The file that holds the events."""
        return self._path

    def get_statistics(self) -> TracingStatistics:
        return TracingStatistics(self.stats() or self._counts)

    def events_dropped(self) -> int:
        return self.get_statistics().events_dropped

    def event_buffer_capacity(self) -> int:
        """How many events the buffers hold while the drain is away."""
        return (self._buffer_bytes or 64 << 20) // EVENT_BYTES

    def _trace(self) -> Any:
        from tracesmith.trace import open as open_trace

        path = self._require_path()
        with self._stop_lock:
            self.flush()
            return open_trace(path)

    def get_events(self) -> Events:
        """Everything recorded so far. Works while the session runs."""
        return self._trace().events

    def get_counters(self) -> Events:
        """The counter events recorded so far."""
        events = self.get_events()
        return events[events["type"] == EventType.Counter]

    def export_to_file(self, filename: str | os.PathLike[str]) -> None:
        """Write what was recorded so far to filename, in the format that its ending names."""
        target = os.fspath(filename)
        if not target.endswith(".sbt"):
            from tracesmith.export import export_trace

            with self._trace() as trace:
                export_trace(trace, target)
            return
        self.flush()
        if self.active:
            from tracesmith.sbt import SBTWriter

            with SBTWriter(target) as writer:
                writer.write_events(self.get_events())
        else:
            shutil.copyfile(self._require_path(), target)

    def _require_path(self) -> str:
        if not self._path:
            raise StateError("the session holds no events: start it first")
        return self._path

    def __enter__(self) -> TracingSession:
        if not self.active:
            self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        if self.active:
            if kind is not None:
                self.set_info("exception", f"{kind.__name__}: {error}".encode("utf-8", "replace").decode())
            self.stop()


_running: weakref.WeakSet[TracingSession] = weakref.WeakSet()


def running() -> TracingSession | None:
    """The session of this process that runs now, if any."""
    return next((session for session in _running if session.active), None)


@atexit.register
def _stop_at_exit() -> None:
    """A session that nobody stopped ends with the interpreter, and its file is whole."""
    for session in list(_running):
        session._stop_if_running()
