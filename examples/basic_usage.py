"""Record events from Python threads, then look at them as NumPy arrays.

python basic_usage.py [OUTPUT.sbt]
"""

import sys
import threading

import tracesmith as ts


def work(session: ts.TracingSession, steps: int) -> None:
    for step in range(steps):
        session.emit("step")  # the fast way: a name, no object
        session.emit_counter("progress", step / steps)


def record(path: str) -> None:
    session = ts.TracingSession()
    session.start(ts.TracingConfig())
    threads = [threading.Thread(target=work, args=(session, 1000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    event = ts.TraceEvent()  # the complete way: one event by hand
    event.type = ts.EventType.KernelLaunch
    event.name = "my_kernel"
    event.metadata["grid_dim"] = "256x256x1"
    session.emit(event)

    session.stop()
    session.export_to_file(path)


def summarize(path: str) -> None:
    with ts.open(path) as trace:
        events = trace.events
        counters = events[events["type"] == ts.EventType.Counter]
        print(f"{len(events)} events of {len(trace.threads) - 1} threads; {len(counters)} are counters")
        print(f"values from {counters['value'].view('f8').min()} to {counters['value'].view('f8').max()}")
        launch = events[events["type"] == ts.EventType.KernelLaunch][0]
        print(launch.name, launch.metadata)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "basic_usage.sbt"
    record(path)
    summarize(path)


if __name__ == "__main__":
    main()
