"""What can go wrong. The C modules raise these; I/O errors are plain OSError."""


class TraceError(Exception):
    """Base of everything that TraceSmith raises itself."""

    offset: "int | None" = None


class FormatError(TraceError, ValueError):
    """The bytes are not what they should be; offset tells where in the file."""


class TruncatedError(FormatError):
    """The file ends too early."""


class CorruptError(FormatError):
    """The file is damaged: a checksum or a bound does not hold."""


class UnsupportedError(TraceError):
    """The file, or the call, needs something that this build or version lacks."""


class StateError(TraceError, RuntimeError):
    """Not possible in this state: finalized, closed, or not started."""


class BusyError(TraceError):
    """Another writer, session or process is using it."""
