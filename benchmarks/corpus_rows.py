"""The rows about other people's traces: corpus_rows.py ROW SCRATCH ROUNDS. They need TRACESMITH_CORPUS, the
folder of real traces, and one needs TRACESMITH_HTA, a Python that has HolisticTraceAnalysis."""

import os
import subprocess
import sys
import time
from pathlib import Path

OURS = "import sys; from tracesmith.cli import main; sys.exit(main(['analyze', *sys.argv[1:]]))"
JSON_LOAD = "import gzip, json, sys; [json.load(gzip.open(path)) for path in sys.argv[1:]]"
# Six analyses that both have, of one trace in a folder of its own.
HTA = """
import sys
from hta.trace_analysis import TraceAnalysis

analysis = TraceAnalysis(trace_dir=sys.argv[1])
analysis.get_temporal_breakdown(visualize=False)
analysis.get_gpu_kernel_breakdown(visualize=False)
analysis.get_comm_comp_overlap(visualize=False)
analysis.get_cuda_kernel_launch_stats(visualize=False)
analysis.get_memory_bw_summary()
analysis.get_idle_time_breakdown(visualize=False)
"""


def skip(why: str) -> None:
    print(f"skip {why}")
    sys.exit()


def torch_traces() -> list[Path]:
    folder = os.environ.get("TRACESMITH_CORPUS")
    if not folder:
        skip("TRACESMITH_CORPUS does not say where the real traces are")
    return [path for path in sorted(Path(folder).glob("*.json.gz")) if "rocprof" not in path.name]


def seconds(*words: object) -> float:
    begin = time.perf_counter()
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        sys.exit(done.stderr[-500:])
    return time.perf_counter() - begin


def pairs(rounds: int, ours: list[list[object]], theirs: list[list[object]]) -> None:
    """Whole processes, one per trace; their times added up."""
    for i in range(-1, rounds):
        a, b = sum(seconds(*words) for words in ours), sum(seconds(*words) for words in theirs)
        if i >= 0:
            print(f"pair {a * 1e3:.3f} {b * 1e3:.3f}", flush=True)


def answers(scratch: str, rounds: int) -> None:
    traces = torch_traces()
    python = sys.executable
    pairs(rounds, [[python, "-c", OURS, t] for t in traces], [[python, "-c", JSON_LOAD, t] for t in traces])
    size = sum(trace.stat().st_size for trace in traces)
    print(f"note {len(traces)} traces, {size / 1e6:.1f} MB of .json.gz, a process each")


def hta(scratch: str, rounds: int) -> None:
    peer = os.environ.get("TRACESMITH_HTA") or skip("TRACESMITH_HTA names no Python that has HTA")
    wanted = ("hta_cp_alexnet", "hta_nccl", "tracelens_mi300_resnet", "tracelens_b200_eager")
    traces = [trace for trace in torch_traces() if trace.name.split(".")[0] in wanted]
    folders = []
    for trace in traces:
        folder = Path(scratch) / trace.name.split(".")[0]
        folder.mkdir(exist_ok=True)
        (folder / trace.name).write_bytes(trace.read_bytes())
        folders.append(folder)
    pairs(
        rounds,
        [[sys.executable, "-c", OURS, trace] for trace in traces],
        [[peer, "-c", HTA, folder] for folder in folders],
    )
    print("note the four traces that HTA opens: it wants a rank and launches that it knows")


def sbt_bytes(scratch: str, rounds: int) -> None:
    import tracesmith as ts

    ours = theirs = 0
    each = []
    for trace in torch_traces():
        path = Path(scratch) / "row.sbt"
        events = ts.import_trace(trace, path, compress=True).events
        ours, theirs = ours + path.stat().st_size, theirs + trace.stat().st_size
        each.append((events, path.stat().st_size / trace.stat().st_size))
        path.unlink()
    print(f"value {ours / theirs:.4f}")
    large = ", ".join(f"{ratio:.3f}" for events, ratio in each if events > 10_000)
    print(f"note those of over 10,000 events: {large}")


def lean_exports(scratch: str, timed: int) -> tuple[list[tuple[float, float]], int, int]:
    import tracesmith as ts

    sizes = [0, 0]
    spent = []
    with ts.open(max(torch_traces(), key=lambda path: path.stat().st_size)) as trace:
        for _ in range(timed):
            times = []
            for i, name in enumerate(("row.perfetto-trace", "row.json")):
                path = Path(scratch) / name
                begin = time.perf_counter_ns()
                ts.export_trace(trace, path, lean=True)
                times.append((time.perf_counter_ns() - begin) / len(trace))
                sizes[i] = path.stat().st_size
                path.unlink()
            spent.append((times[0], times[1]))
    return spent, sizes[0], sizes[1]


def perfetto_time(scratch: str, rounds: int) -> None:
    for ours, theirs in lean_exports(scratch, rounds + 1)[0][1:]:
        print(f"pair {ours:.3f} {theirs:.3f}")


def perfetto_bytes(scratch: str, rounds: int) -> None:
    _, ours, theirs = lean_exports(scratch, 1)
    print(f"value {ours / theirs:.4f}")


def protobuf_bytes(scratch: str, rounds: int) -> None:
    import gzip

    import tracesmith as ts

    ours = theirs = 0
    each = []
    for trace in torch_traces():
        path = Path(scratch) / "row.perfetto-trace"
        with ts.open(trace) as opened:
            ts.export_trace(opened, path)
        original = len(gzip.decompress(trace.read_bytes()))
        ours, theirs = ours + path.stat().st_size, theirs + original
        each.append(f"{path.stat().st_size / original:.2f}")
        path.unlink()
    print(f"value {ours / theirs:.4f}")
    print(f"note all arguments kept; trace by trace: {', '.join(each)}")


if __name__ == "__main__":
    row, scratch, rounds = sys.argv[1:]
    globals()[row](scratch, int(rounds))
