"""Profilers by platform, and the short ways to record: profile() and capture_trace()."""

from __future__ import annotations

import enum
import functools
import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tracesmith import _capture
from tracesmith.errors import StateError, UnsupportedError
from tracesmith.session import TracingConfig, TracingSession, running
from tracesmith.types import DeviceInfo, OverflowPolicy

if TYPE_CHECKING:
    from tracesmith.events import Events

FOREVER = 2**32 - 1
OMIT = {
    "capture_kernels": 1,
    "capture_memcpy": 2,
    "capture_memset": 4,
    "capture_sync": 8,
    "capture_alloc": 16,
    "capture_callstacks": 32,
    "capture_kernel_params": 64,
    "capture_memory_params": 128,
}


class PlatformType(enum.IntEnum):
    """Where events come from."""

    Unknown = 0
    CUDA = 1
    ROCm = 2
    Metal = 3
    OpenCL = 4
    CPU = 5
    Simulation = 6


def detect_platform() -> PlatformType:
    """The platform that this build can record here. So far there is one: the simulation."""
    return PlatformType.Simulation


class ProfilerConfig:
    """What a profiler captures. buffer_size is in events."""

    def __init__(
        self,
        *,
        buffer_size: int = 1 << 20,
        overflow_policy: OverflowPolicy | int = OverflowPolicy.DropOldest,
        capture_callstacks: bool = True,
        capture_kernel_params: bool = True,
        capture_memory_params: bool = True,
        capture_kernels: bool = True,
        capture_memcpy: bool = True,
        capture_memset: bool = True,
        capture_sync: bool = True,
        capture_alloc: bool = True,
        output_file: str | os.PathLike[str] = "",
    ) -> None:
        self.buffer_size = buffer_size
        self.overflow_policy = overflow_policy
        self.capture_callstacks = capture_callstacks
        self.capture_kernel_params = capture_kernel_params
        self.capture_memory_params = capture_memory_params
        self.capture_kernels = capture_kernels
        self.capture_memcpy = capture_memcpy
        self.capture_memset = capture_memset
        self.capture_sync = capture_sync
        self.capture_alloc = capture_alloc
        self.output_file = output_file


class Profiler:
    """Captures one platform. Profiler() takes the one that is found."""

    def __init__(self, platform: PlatformType | int = PlatformType.Unknown) -> None:
        self._platform = PlatformType(platform) or detect_platform()
        if self._platform is not PlatformType.Simulation:
            raise UnsupportedError(
                f"{self._platform.name} cannot be captured by this build; PlatformType.Simulation can"
            )
        self._config = ProfilerConfig()
        self._session = TracingSession()
        self._worker: threading.Thread | None = None
        self._failure: BaseException | None = None

    def platform_type(self) -> PlatformType:
        return self._platform

    def is_available(self) -> bool:
        return True

    def initialize(self, config: ProfilerConfig | None = None) -> bool:
        if self.is_capturing():
            raise StateError("the profiler is capturing: stop it before configuring it")
        self._config = config or ProfilerConfig()
        return True

    def start_capture(self) -> bool:
        config = self._config
        self._session.start(
            TracingConfig(
                output_file=config.output_file,
                buffer_size_kb=max(config.buffer_size * 64 // 1024, 1),
                overflow_policy=config.overflow_policy,
            )
        )
        self._session.set_info("platform", self._platform.name)
        omit = sum(bit for name, bit in OMIT.items() if not getattr(config, name))
        self._failure = None
        self._worker = threading.Thread(
            target=self._simulate, args=(omit,), name="simulated-gpu", daemon=True
        )
        self._worker.start()
        return True

    def _simulate(self, omit: int) -> None:
        try:
            _capture.simulate(steps=FOREVER, omit=omit, paced=True)
        except BaseException as failure:  # raised again where somebody can see it: in stop_capture
            self._failure = failure

    def stop_capture(self) -> bool:
        if self._worker is None:
            raise StateError("the profiler is not capturing")
        while self._worker.is_alive():
            _capture.simulate_stop()
            self._worker.join(0.01)
        self._worker = None
        self._session.stop()
        if self._failure is not None:
            raise self._failure
        return True

    def is_capturing(self) -> bool:
        return self._worker is not None

    def get_events(self, max_count: int = 0) -> Events:
        """What was captured: the first max_count events, or all."""
        events = self._session.get_events()
        return events[:max_count] if max_count else events

    def get_device_info(self) -> list[DeviceInfo]:
        """The devices that the captured events ran on."""
        return self._session._trace().metadata.devices

    def events_captured(self) -> int:
        return self._session.get_statistics().events_delivered

    def events_dropped(self) -> int:
        return self._session.get_statistics().events_dropped

    @property
    def session(self) -> TracingSession:
        return self._session

    def finalize(self) -> None:
        if self.is_capturing():
            self.stop_capture()
        self._session.clear()

    def __enter__(self) -> Profiler:
        self.start_capture()
        return self

    def __exit__(self, *error: object) -> None:
        if self.is_capturing():
            self.stop_capture()


def create_profiler(platform: PlatformType | int = PlatformType.Unknown) -> Profiler:
    return Profiler(platform)


def capture_trace(duration_ms: int = 1000, platform: PlatformType | int = PlatformType.Unknown) -> Events:
    """Capture the platform for a while and return the events."""
    with Profiler(platform) as profiler:
        time.sleep(duration_ms / 1000)
    return profiler.get_events()


class profile:  # noqa: N801 - reads as a verb
    """Record a block (with) or every call of a function (decorator) into a file.

    Inside a run that is being recorded already it joins that run: nothing starts or stops, and the
    events go to the run's own file.
    """

    def __init__(self, output: str | os.PathLike[str] = "", config: TracingConfig | None = None) -> None:
        self.output = output
        self.config = config
        self.session: TracingSession | None = None
        self._joined = False

    def __enter__(self) -> TracingSession:
        current = running()
        self._joined = current is not None
        if current is not None:
            if self.output:
                warnings.warn(f"a session is running already: events go to {current.path}", stacklevel=2)
            self.session = current
        else:
            self.session = TracingSession()
            self.session.start(self.config, output=self.output)
        return self.session

    def __exit__(self, *error: Any) -> None:
        if self.session is not None and not self._joined:
            self.session.__exit__(*error)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def profiled(*args: Any, **kwargs: Any) -> Any:
            with profile(self.output, self.config):
                return function(*args, **kwargs)

        return profiled
