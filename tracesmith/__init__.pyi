"""What the package offers; the names are loaded when they are first used."""

from tracesmith.errors import BusyError as BusyError
from tracesmith.errors import CorruptError as CorruptError
from tracesmith.errors import FormatError as FormatError
from tracesmith.errors import StateError as StateError
from tracesmith.errors import TraceError as TraceError
from tracesmith.errors import TruncatedError as TruncatedError
from tracesmith.errors import UnsupportedError as UnsupportedError
from tracesmith.events import Events as Events
from tracesmith.profiler import PlatformType as PlatformType
from tracesmith.profiler import Profiler as Profiler
from tracesmith.profiler import ProfilerConfig as ProfilerConfig
from tracesmith.profiler import capture_trace as capture_trace
from tracesmith.profiler import create_profiler as create_profiler
from tracesmith.profiler import detect_platform as detect_platform
from tracesmith.profiler import profile as profile
from tracesmith.sbt import SBTReader as SBTReader
from tracesmith.sbt import SBTWriter as SBTWriter
from tracesmith.session import TracingConfig as TracingConfig
from tracesmith.session import TracingMode as TracingMode
from tracesmith.session import TracingSession as TracingSession
from tracesmith.session import TracingState as TracingState
from tracesmith.session import TracingStatistics as TracingStatistics
from tracesmith.session import annotate as annotate
from tracesmith.tables import Tables as Tables
from tracesmith.trace import EVENT_DTYPE as EVENT_DTYPE
from tracesmith.trace import Trace as Trace
from tracesmith.trace import open as open
from tracesmith.trace import repair as repair
from tracesmith.types import CallStack as CallStack
from tracesmith.types import CounterEvent as CounterEvent
from tracesmith.types import DeviceInfo as DeviceInfo
from tracesmith.types import EventType as EventType
from tracesmith.types import FlowInfo as FlowInfo
from tracesmith.types import FlowType as FlowType
from tracesmith.types import KernelParams as KernelParams
from tracesmith.types import MemoryCategory as MemoryCategory
from tracesmith.types import MemoryEvent as MemoryEvent
from tracesmith.types import MemoryParams as MemoryParams
from tracesmith.types import OverflowPolicy as OverflowPolicy
from tracesmith.types import StackFrame as StackFrame
from tracesmith.types import TraceEvent as TraceEvent
from tracesmith.types import TraceMetadata as TraceMetadata
from tracesmith.types import event_type_to_string as event_type_to_string
from tracesmith.types import format_bytes as format_bytes
from tracesmith.types import format_duration as format_duration
from tracesmith.types import get_current_timestamp as get_current_timestamp

__version__: str
VERSION_MAJOR: int
VERSION_MINOR: int
VERSION_PATCH: int
