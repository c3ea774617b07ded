"""Write a trace by hand, then read a window of it without decoding the rest.

python write_and_window.py [OUTPUT.sbt]
"""

import sys

import tracesmith as ts

KERNELS = 100_000
PERIOD_NS = 10_000


def write(path: str) -> None:
    with ts.SBTWriter(path) as writer:
        for i in range(KERNELS):
            writer.write_event(
                ts.TraceEvent(
                    ts.EventType.KernelComplete, timestamp=i * PERIOD_NS, duration=8_000, name="kernel"
                )
            )


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "write_and_window.sbt"
    write(path)
    with ts.open(path) as trace:
        print(f"{len(trace)} events in {trace.info['blocks']} blocks, {trace.info['bytes']} bytes")
        window = trace[500_000_000:501_000_000]  # ns
        print(
            f"{len(window)} of them touch one millisecond; busy {window['duration'].sum() / 1e6:.3f} ms of it"
        )


if __name__ == "__main__":
    main()
