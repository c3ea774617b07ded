"""TraceSmith: GPU tracing, analysis and replay.

Names are loaded when they are first used: importing the package costs nothing.
"""

__version__ = "1.0.0.dev0"
VERSION_MAJOR, VERSION_MINOR, VERSION_PATCH = 1, 0, 0

_MODULES = {
    "errors": "TraceError FormatError TruncatedError CorruptError UnsupportedError StateError BusyError",
    "types": (
        "EventType FlowType FlowInfo KernelParams MemoryParams StackFrame CallStack TraceEvent CounterEvent"
        " MemoryCategory MemoryEvent DeviceInfo TraceMetadata OverflowPolicy"
        " event_type_to_string format_bytes format_duration get_current_timestamp"
    ),
    "tables": "Tables",
    "events": "Events",
    "trace": "Trace open EVENT_DTYPE repair",
    "ingest": "ImportReport import_trace recognize",
    "xray": (
        "XRayEntryType XRayFileHeader XRayFunctionRecord XRayImporter XRayImporterConfig XRayStatistics"
    ),
    "export": (
        "export_trace export_perfetto ExportReport PerfettoExporter PerfettoProtoExporter PerfettoFormat"
        " is_protobuf_available"
    ),
    "analysis": "Analysis Answers Difference Finding Report analyze diff",
    "critical": "CriticalPath critical_path",
    "sbt": "SBTReader SBTWriter",
    "timeline": "Timeline TimelineSpan TimelineBuilder Concurrency SpanClass build_timeline",
    "viewer": "TimelineViewer TimelineViewConfig",
    "states": (
        "GPUState GPUStreamState GPUStateMachine GPUStateMachineStatistics GPUStateHistory StateTransition"
    ),
    "instructions": (
        "InstructionStreamBuilder InstructionStreamStatistics InstructionNode Dependencies DependencyType"
        " Provenance OperationDependency"
    ),
    "session": "TracingSession TracingConfig TracingStatistics TracingState TracingMode annotate",
    "profiler": "Profiler create_profiler ProfilerConfig profile capture_trace detect_platform PlatformType",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["VERSION_MAJOR", "VERSION_MINOR", "VERSION_PATCH", "__version__", *_HOME]


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'tracesmith' has no attribute {name!r}")
    value = getattr(__import__(f"tracesmith.{module}", fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
