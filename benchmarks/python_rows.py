"""The rows that are measured in Python: python_rows.py ROW SCRATCH ROUNDS [PATH]. Prints the lines that
bench.h describes. `standard` and `big` write the files that other rows read."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import repeat

CALLS = 20_000
WARM_UP = 3
BUFFER_KB = 16 << 10
OUR_CORE, DRAIN_CORE = 0, 1
Timed = Callable[[], float]


def pair(rounds: int, ours: Timed, floor: Timed) -> None:
    for i in range(-WARM_UP, rounds):
        a, b = ours(), floor()
        if i >= 0:
            print(f"pair {a:.5f} {b:.5f}", flush=True)


@contextmanager
def recording(scratch: str):
    """A session whose drain has the other core, and whose buffers have been filled once: memory that the
    machine must find first costs more than the emit."""
    import tracesmith as ts

    session = ts.TracingSession()
    os.sched_setaffinity(0, {DRAIN_CORE})
    session.start(ts.TracingConfig(output_file=f"{scratch}/row.sbt", buffer_size_kb=BUFFER_KB))
    os.sched_setaffinity(0, {OUR_CORE})
    for i in range(BUFFER_KB * 1024 // 64):
        session.emit("beat")
        if i % CALLS == 0:
            time.sleep(0.001)
    time.sleep(0.5)
    yield session
    session.stop()
    dropped = session.get_statistics().events_dropped
    os.unlink(f"{scratch}/row.sbt")
    if dropped:
        sys.exit(f"{dropped} events were dropped: the row measured something else")


def ns_per_call(run: Callable[[], None]) -> float:
    begin = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - begin) / CALLS


def empty_loop() -> None:
    for _ in repeat(None, CALLS):
        pass


def emit(scratch: str, rounds: int) -> None:
    import bench_floor as floor

    with recording(scratch) as session:

        def emits() -> None:
            for _ in repeat(None, CALLS):
                session.emit("beat")

        def noops() -> None:
            for _ in repeat(None, CALLS):
                floor.noop("beat")

        def ours() -> float:
            return ns_per_call(emits) - ns_per_call(empty_loop)

        def call_and_stamp() -> float:
            call = ns_per_call(noops) - ns_per_call(empty_loop)
            return call + ns_per_call(lambda: floor.stamps(CALLS))

        pair(rounds, ours, call_and_stamp)


def our_ranges() -> float:
    from tracesmith._capture import annotate

    def run() -> None:
        for _ in repeat(None, CALLS):
            with annotate("step"):
                pass

    return ns_per_call(run) - ns_per_call(empty_loop)


def generator_range(scratch: str, rounds: int) -> None:
    @contextmanager
    def span(name):
        yield

    def run() -> None:
        for _ in repeat(None, CALLS):
            with span("step"):
                pass

    with recording(scratch):
        pair(rounds, our_ranges, lambda: ns_per_call(run) - ns_per_call(empty_loop))


def viztracer_range(scratch: str, rounds: int, path: str) -> None:
    sys.path.append(path)
    try:
        from viztracer import VizTracer
    except ImportError as error:
        print(f"skip viztracer cannot be had here: {error}")
        return
    # Without function tracing, which would slow what it measures.
    tracer = VizTracer(verbose=0, max_stack_depth=0, ignore_c_function=True, tracer_entries=4 * CALLS)

    def run() -> None:
        for _ in repeat(None, CALLS):
            with tracer.log_event("step"):
                pass

    def theirs() -> float:
        tracer.start()
        taken = ns_per_call(run)
        tracer.stop()
        tracer.clear()
        return taken - ns_per_call(empty_loop)

    with recording(scratch):
        pair(rounds, our_ranges, theirs)


# ---- The file --------------------------------------------------------------------------------------


def standard_events(writer, count: int):
    """The standard set as events whose ids are rows of writer's tables."""
    import numpy as np
    import standard_set

    import tracesmith as ts

    columns = standard_set.columns(count)
    events = np.zeros(count, ts.EVENT_DTYPE)
    host = writer.intern_row("hosts", (writer.intern("host"), 0, 0))
    process = writer.intern_row("processes", (host, 4711, 1, 0, writer.intern("train.py")))
    device = writer.intern_row("devices", (host, 0, writer.intern("GPU"), *[0] * 12))
    streams, which = np.unique(columns["stream"], return_inverse=True)
    stream_rows = [writer.intern_row("streams", (process, device, 0, int(raw), 0, 0)) for raw in streams]
    shapes, shape = np.unique(np.stack([columns["grid"], columns["block"]], 1), axis=0, return_inverse=True)
    shape_rows = [
        writer.intern_row("launches", (int(grid), 1, 1, int(block), 1, 1, *[0] * 8)) for grid, block in shapes
    ]
    for field in ("timestamp", "duration", "correlation"):
        events[field] = columns[field]
    events["name"] = np.array([writer.intern(name) for name in standard_set.NAMES])[columns["name"]]
    events["stream"] = np.array(stream_rows)[which]
    events["extra"] = np.array(shape_rows)[shape.reshape(-1)]
    events["thread"] = writer.intern_row("threads", (process, 4711, writer.intern("main")))
    events["device"] = device
    events["type"] = ts.EventType.KernelComplete
    events["flags"] = 1 << 3  # extra is a row of launches
    return events


def standard(scratch: str, count: int) -> None:
    import tracesmith as ts

    with ts.SBTWriter(f"{scratch}/standard.sbt") as writer:
        writer.write_events(standard_events(writer, count))


def big(scratch: str, millions: int) -> None:
    import tracesmith as ts

    with ts.SBTWriter(f"{scratch}/big.sbt") as writer:
        events = standard_events(writer, 1_000_000)
        width = events["timestamp"][-1] - events["timestamp"][0] + events["duration"].max()
        for _ in range(millions):
            writer.write_events(events)
            events["timestamp"] += width


def fresh(scratch: str, rounds: int) -> None:
    import numpy as np

    import tracesmith as ts

    os.sched_setaffinity(0, {OUR_CORE})
    trace = ts.open(f"{scratch}/standard.sbt")
    count = len(trace)

    def ours() -> float:
        begin = time.perf_counter_ns()
        array = np.empty(count, ts.EVENT_DTYPE)
        trace.read_into(array)
        return (time.perf_counter_ns() - begin) / count

    def memset() -> float:
        begin = time.perf_counter_ns()
        array = np.empty(count, ts.EVENT_DTYPE)
        array.view(np.uint8).fill(1)
        return (time.perf_counter_ns() - begin) / count

    pair(rounds, ours, memset)


def warm(scratch: str, rounds: int) -> None:
    import numpy as np

    import tracesmith as ts

    os.sched_setaffinity(0, {OUR_CORE})
    trace = ts.open(f"{scratch}/standard.sbt")
    count = len(trace)
    to, source = np.ones(count, ts.EVENT_DTYPE), np.ones(count, ts.EVENT_DTYPE)
    to_bytes, source_bytes = to.view(np.uint8), source.view(np.uint8)

    def ours() -> float:
        begin = time.perf_counter_ns()
        trace.read_into(to)
        return (time.perf_counter_ns() - begin) / count

    def memcpy() -> float:
        begin = time.perf_counter_ns()
        to_bytes[:] = source_bytes
        return (time.perf_counter_ns() - begin) / count

    pair(rounds, ours, memcpy)


# ---- Analysis --------------------------------------------------------------------------------------


def analyze(scratch: str, rounds: int) -> None:
    """Five million kernels: everything that analyze finds, and the same file read into a warm array."""
    import numpy as np

    import tracesmith as ts

    os.sched_setaffinity(0, {OUR_CORE})
    path = f"{scratch}/kernels.sbt"
    with ts.SBTWriter(path) as writer:
        writer.write_events(standard_events(writer, 5_000_000))
    trace = ts.open(path)
    count = len(trace)
    to = np.ones(count, ts.EVENT_DTYPE)

    def ours() -> float:
        begin = time.perf_counter_ns()
        ts.analyze(path, limit=20)
        return (time.perf_counter_ns() - begin) / count

    def decode() -> float:
        begin = time.perf_counter_ns()
        trace.read_into(to)
        return (time.perf_counter_ns() - begin) / count

    pair(rounds, ours, decode)
    os.remove(path)


# ---- Export ----------------------------------------------------------------------------------------


def json_export(scratch: str, rounds: int) -> None:
    """Both write a file in scratch. The peer has its events as Python objects already."""
    import json

    import tracesmith as ts

    os.sched_setaffinity(0, {OUR_CORE})
    count = 20_000
    path, output = f"{scratch}/json.sbt", f"{scratch}/row.json"
    with ts.SBTWriter(path) as writer:
        writer.write_events(standard_events(writer, count))
    trace = ts.open(path)
    size = ts.export_trace(trace, output).bytes
    with open(output) as file:
        objects = json.load(file)

    def ours() -> float:
        begin = time.perf_counter_ns()
        ts.export_trace(trace, output)
        return (time.perf_counter_ns() - begin) / count

    def theirs() -> float:
        begin = time.perf_counter_ns()
        with open(output, "w") as file:
            json.dump(objects, file)
        return (time.perf_counter_ns() - begin) / count

    pair(rounds, ours, theirs)
    os.unlink(path)
    os.unlink(output)
    print(f"note {size / count:.0f} bytes per event: kernels with launch shapes, and their arrows")


# Kernels by name as nsys's own report has them: sums, extremes, deviation and the median.
NSYS_SUMMARY = """
WITH spans AS (SELECT demangledName AS name, end - start AS ns FROM CUPTI_ACTIVITY_KIND_KERNEL),
ordered AS (
    SELECT name, ns, row_number() OVER (PARTITION BY name ORDER BY ns) AS place,
        count(*) OVER (PARTITION BY name) AS count FROM spans
),
medians AS (
    SELECT name, avg(ns) AS median FROM ordered
    WHERE place IN ((count + 1) / 2, (count + 2) / 2) GROUP BY name
)
SELECT value, count(*) AS count, sum(ns) AS total, avg(ns), median, min(ns), max(ns),
    sqrt(max(0, avg(1.0 * ns * ns) - avg(1.0 * ns) * avg(1.0 * ns)))
FROM spans JOIN medians USING (name) JOIN StringIds ON id = name GROUP BY name ORDER BY total DESC
"""
NSYS_COLUMNS = """
start end deviceId contextId greenContextId streamId correlationId globalPid demangledName shortName
mangledName launchType cacheConfig registersPerThread gridX gridY gridZ blockX blockY blockZ
staticSharedMemory dynamicSharedMemory localMemoryPerThread localMemoryTotal gridId
sharedMemoryExecuted graphNodeId
"""


def write_nsys(path: str, count: int) -> None:
    """Kernels of 200 names on two devices, in columns as a file of 2023 has them."""
    import random
    import sqlite3

    chance, columns = random.Random(1), NSYS_COLUMNS.split()
    process = (1 << 48) + (4711 << 24)
    base = sqlite3.connect(path)
    base.execute("PRAGMA journal_mode = OFF")
    base.execute("CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
    names = ((i, f"void at::native::vectorized_kernel<{i}, float>(int, T*)") for i in range(200))
    base.executemany("INSERT INTO StringIds VALUES (?, ?)", names)
    listed = ", ".join(f'"{column}" INTEGER' for column in columns)
    base.execute(f"CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL ({listed})")

    def rows():
        time = 10**9
        for i in range(count):
            time += chance.randrange(1_000, 9_000)
            name, grid = chance.randrange(200), chance.randrange(1, 64)
            yield (
                *(time, time + chance.randrange(1_000, 200_000), i & 1, 1, 0, 7, i + 1, process),
                *(name, name, name, 1, 1, 32, grid, 1, 1, 256, 1, 1, 0, 1024, 0, 0, i, 32768, None),
            )

    marks = ", ".join("?" * len(columns))
    base.executemany(f"INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES ({marks})", rows())
    base.commit()
    base.close()


def nsys(scratch: str, rounds: int) -> None:
    """Both begin with the file and end with the table, in this process."""
    import sqlite3

    import tracesmith as ts

    os.sched_setaffinity(0, {OUR_CORE})
    count, path = 1_000_000, f"{scratch}/kernels.sqlite"
    write_nsys(path, count)
    found: dict[str, list] = {}

    def ours() -> float:
        begin = time.perf_counter_ns()
        analysis = ts.Analysis()
        analysis.add(path)
        table = analysis.answers(["kernels"])["kernels"]
        spent = (time.perf_counter_ns() - begin) / count
        found["ours"] = sorted(zip(table["name"], table["count"], table["total"], strict=True))
        return spent

    def theirs() -> float:
        begin = time.perf_counter_ns()
        base = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        table = base.execute(NSYS_SUMMARY).fetchall()
        base.close()
        spent = (time.perf_counter_ns() - begin) / count
        found["theirs"] = sorted(row[:3] for row in table)
        return spent

    pair(rounds, ours, theirs)
    os.unlink(path)
    if found["ours"] != found["theirs"]:
        sys.exit("the two summaries differ")
    print(f"note {count:,} kernels of 200 names, {len(NSYS_COLUMNS.split())} columns")


# ---- Processes -------------------------------------------------------------------------------------


def start(scratch: str, rounds: int) -> None:
    os.sched_setaffinity(0, {OUR_CORE})

    def run(program: str) -> float:
        begin = time.perf_counter_ns()
        subprocess.run([sys.executable, "-c", program], check=True)
        return (time.perf_counter_ns() - begin) / 1e6

    pair(rounds, lambda: run("import tracesmith"), lambda: run("pass"))


def memory_of(what: str) -> int:
    """Bytes, from /proc/self/status. RssAnon is what is not just pages of files, which the kernel may
    drop at any time; VmData is what RLIMIT_DATA limits."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(what))


def memory(scratch: str, more_mb: int) -> None:
    """Reads a file that is larger than all the memory that this process is allowed."""
    import numpy  # noqa: F401  the process itself, before the limit

    import tracesmith as ts

    path = f"{scratch}/big.sbt"
    trace = ts.open(path)
    limit = memory_of("VmData") + (more_mb << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    before = peak = memory_of("RssAnon")
    count = total = 0
    for events in trace.blocks():
        total += int(events["duration"].sum())
        count += len(events)
        peak = max(peak, memory_of("RssAnon"))
    size = os.path.getsize(path)
    if count != len(trace) or total == 0 or size <= limit:
        sys.exit(f"not read whole, or not larger than the limit: {count} events, {size} bytes, {limit}")
    print(f"value {(peak - before) / 2**20:.1f}")
    print(
        f"note {size / 2**20:.0f} MB of file and {count * 64 / 2**20:.0f} MB of events by a process that may "
        f"use {limit / 2**20:.0f} MB and had {before / 2**20:.0f} MB in use before"
    )


if __name__ == "__main__":
    row, scratch, rounds, *rest = sys.argv[1:]
    globals()[row](scratch, int(rounds), *rest)
