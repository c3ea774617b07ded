"""HolisticTraceAnalysis opens our JSON, and says of an imported torch trace what it says of the original.

TRACESMITH_HTA names a Python that has HolisticTraceAnalysis, with a pandas below 3: with a newer one
HTA 0.5.0 fails on any trace of more than 32767 rows, the original ones too.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import tracesmith as ts

PROGRAM = """
import json, logging, sys, warnings
warnings.filterwarnings("ignore")
logging.disable(logging.INFO)
from hta.trace_analysis import TraceAnalysis
analysis = TraceAnalysis(trace_dir=sys.argv[1])
(rank,) = analysis.t.traces
tables = {
    "temporal": analysis.get_temporal_breakdown(visualize=False),
    "idle": analysis.get_idle_time_breakdown(visualize=False)[0],
    "kernels": analysis.get_gpu_kernel_breakdown(visualize=False)[0],
    "launches": analysis.get_cuda_kernel_launch_stats(visualize=False)[rank],
}
said = {name: table.to_csv() for name, table in tables.items()}
with open(sys.argv[2], "w") as file:
    json.dump({"rank": rank, "rows": len(analysis.t.traces[rank])} | said, file)
"""


@pytest.fixture(scope="module")
def hta_python() -> str:
    python = os.environ.get("TRACESMITH_HTA")
    if not python:
        pytest.skip("TRACESMITH_HTA names no Python that has HolisticTraceAnalysis")
    return python


def said_of(python: str, folder: Path) -> dict[str, object]:
    answer = folder.with_suffix(".answer")
    done = subprocess.run(
        [python, "-c", PROGRAM, folder, answer], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(answer.read_text())


def test_it_opens_a_recording_of_our_own(hta_python: str, simulated: Path, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    with ts.open(simulated) as trace:
        kernels = sum(event.type == ts.EventType.KernelLaunch for event in trace.events)
        ts.export_trace(trace, tmp_path / "ours" / "rank0.json.gz")
    said = said_of(hta_python, tmp_path / "ours")
    assert said["rank"] == 0
    launches = str(said["launches"]).splitlines()
    assert len(launches) - 1 >= kernels * 0.8 > 10  # not those of graphs
    assert "COMPUTATION" in str(said["kernels"]) and "COMMUNICATION" in str(said["kernels"])


# The others have no rank, which HTA insists on, or only work without a launch that it knows.
@pytest.mark.parametrize(
    "name", ["hta_cp_alexnet", "hta_nccl", "tracelens_mi300_resnet", "tracelens_b200_eager"]
)
def test_it_says_of_ours_what_it_says_of_the_original(name: str, hta_python: str, tmp_path: Path) -> None:
    corpus = os.environ.get("TRACESMITH_CORPUS")
    if not corpus:
        pytest.skip("TRACESMITH_CORPUS does not say where the real traces are")
    original, ours = tmp_path / "original", tmp_path / "ours"
    original.mkdir()
    ours.mkdir()
    shutil.copy(Path(corpus) / f"{name}.json.gz", original / "rank0.json.gz")
    with ts.open(original / "rank0.json.gz") as trace:
        ts.export_trace(trace, ours / "rank0.json.gz")
    assert gzip.decompress((ours / "rank0.json.gz").read_bytes())
    assert said_of(hta_python, ours) == said_of(hta_python, original)
