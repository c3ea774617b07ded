"""record, info, view and repair over a recording of the simulation."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracesmith.cli.record import byte_count, duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("500ms", 0.5), ("2m", 120), ("5", 5), ("1.5", 1.5), ("1h", 3600), ("250us", 0.00025)],
)
def test_a_duration_takes_units(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "0", "1 parsec", "nan", "inf", "1e400", "0x5"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("4096", 4096), ("512K", 512 << 10), ("64M", 64 << 20), ("1g", 1 << 30), ("2MiB", 2 << 20)],
)
def test_a_buffer_takes_units(text: str, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "-1", "0", "1X", "1.5M"])
def test_a_buffer_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="size"):
        byte_count(text)


def test_record_says_which_platform_it_took_and_what_became_of_the_events(
    command: Callable, tmp_path: Path
) -> None:
    result = command("record", "-d", "20ms", "-o", tmp_path / "a.sbt", "--format", "json")
    assert result.code == 0, result.err
    data = result.data
    assert data["platform"] == "simulation"
    assert data["emitted"] == data["delivered"] + data["dropped"] > 0
    assert data["bytes"] == (tmp_path / "a.sbt").stat().st_size
    assert "platform simulation" in result.err


def test_record_refuses_to_overwrite_unless_told(command: Callable, tmp_path: Path) -> None:
    path = tmp_path / "a.sbt"
    path.write_text("precious")
    result = command("record", "-d", "10ms", "-o", path)
    assert result.code == 1
    assert "--force" in result.err
    assert path.read_text() == "precious"
    assert command("record", "-d", "10ms", "-f", "-o", path).code == 0
    assert path.read_bytes()[:8] != b"precious"


@pytest.mark.parametrize("platform", ["cuda", "rocm", "metal"])
def test_a_platform_that_is_not_here_is_refused_in_one_line(
    cli: Callable, tmp_path: Path, platform: str
) -> None:
    result = cli("record", "-p", platform, "-o", tmp_path / "a.sbt")
    assert result.code == 1
    assert platform in result.err.lower()
    assert result.err.count("\n") == 1
    assert not (tmp_path / "a.sbt").exists()


def test_record_into_a_folder_that_is_missing_fails_in_one_line(cli: Callable, tmp_path: Path) -> None:
    result = cli("record", "-d", "10ms", "-o", tmp_path / "absent" / "a.sbt")
    assert result.code == 1
    assert str(tmp_path / "absent" / "a.sbt") in result.err


def test_info_of_a_file_agrees_with_the_trace(cli: Callable, simulated: Path) -> None:
    import tracesmith

    trace = tracesmith.open(simulated)
    data = cli("info", simulated, "--format", "json").data
    assert data["complete"] is True
    assert data["events"] == trace.info["events"] == sum(len(events) for events in trace.blocks())
    assert data["bytes"] == simulated.stat().st_size
    assert data["bytes_per_event"] == pytest.approx(data["bytes"] / data["events"])
    assert data["devices"] >= 1
    assert data["streams"] >= 1
    assert data["drops"] == {}
    assert data["counts"] == {"emitted": data["events"], "delivered": data["events"], "dropped": 0}
    text = cli("info", simulated).out
    assert f"{data['events']:,} in {data['blocks']:,} blocks" in text


def test_info_without_a_file_describes_the_build(cli: Callable) -> None:
    result = cli("info", "--format", "json")
    assert result.code == 0, result.err
    assert isinstance(result.data["zstd"], bool)
    assert result.data["platform"] == "Simulation"
    assert isinstance(result.data["orphaned"], list)
    assert "zstd" in cli("info").out


def test_view_shows_the_first_events_in_file_order(cli: Callable, simulated: Path) -> None:
    import tracesmith

    first = next(iter(tracesmith.open(simulated).blocks())).array[:5]
    rows = cli("view", simulated, "-n", "5", "-f", "json").data["events"]
    assert [row["timestamp"] for row in rows] == first["timestamp"].tolist()
    assert [row["duration"] for row in rows] == first["duration"].tolist()


def test_view_formats_hold_the_same_events(cli: Callable, simulated: Path) -> None:
    rows = cli("view", simulated, "-n", "50", "-f", "json").data["events"]
    lines = list(csv.DictReader(io.StringIO(cli("view", simulated, "-n", "50", "-f", "csv").out)))
    assert [(row["name"], str(row["timestamp"])) for row in rows] == [
        (line["name"], line["timestamp"]) for line in lines
    ]
    text = cli("view", simulated, "-n", "50").out
    assert len(text.splitlines()) == 50 + 2
    assert "50 of" in text


@pytest.mark.parametrize("spelling", ["KernelLaunch", "kernel_launch", "kernel-launch"])
def test_view_selects_types(cli: Callable, simulated: Path, spelling: str) -> None:
    rows = cli("view", simulated, "-t", spelling, "-n", "100", "-f", "json").data["events"]
    assert {row["type"] for row in rows} == {"KernelLaunch"}


def test_view_selects_streams(cli: Callable, simulated: Path) -> None:
    rows = cli("view", simulated, "-n", "500", "-f", "json").data["events"]
    device, stream = next((row["device"], row["stream"]) for row in rows if row["stream"] is not None)
    chosen = cli("view", simulated, "--stream", f"{device}/{stream}", "-n", "100", "-f", "json").data[
        "events"
    ]
    assert chosen
    assert {(row["device"], row["stream"]) for row in chosen} == {(device, stream)}


@pytest.mark.parametrize("words", [["-t", "Nonsense"], ["--stream", "9999"]])
def test_view_refuses_to_select_what_does_not_exist(cli: Callable, simulated: Path, words: list[str]) -> None:
    result = cli("view", simulated, *words)
    assert result.code == 2
    assert "KernelLaunch" in result.err or "0/" in result.err


def test_view_stats_add_up_to_all_events(cli: Callable, simulated: Path) -> None:
    import numpy as np

    import tracesmith

    data = cli("view", simulated, "--stats", "-f", "json").data
    events = np.concatenate([block.array for block in tracesmith.open(simulated).blocks()])
    assert sum(row["count"] for row in data["types"]) == len(events)
    assert sum(row["total_ns"] for row in data["types"]) == int(events["duration"].sum())
    totals = [row["total_ns"] for row in data["names"]]
    assert totals == sorted(totals, reverse=True)
    assert len(data["names"]) <= 20
    assert "average" in cli("view", simulated, "--stats").out
    assert cli("view", simulated, "--stats", "-f", "csv").out.startswith(
        "by,label,count,total_ns,average_ns\n"
    )


def test_view_of_an_empty_trace_is_no_error(cli: Callable, tmp_path: Path) -> None:
    import tracesmith

    with tracesmith.SBTWriter(tmp_path / "empty.sbt"):
        pass
    assert "0 of 0 events" in cli("view", tmp_path / "empty.sbt").out
    assert "no events" in cli("view", tmp_path / "empty.sbt", "--stats").out
    assert cli("info", tmp_path / "empty.sbt").code == 0


def test_view_escapes_names(cli: Callable, tmp_path: Path) -> None:
    import tracesmith

    event = tracesmith.TraceEvent()
    event.name = "bad\x1b[31mname, \udcff"
    with tracesmith.SBTWriter(tmp_path / "a.sbt") as writer:
        writer.write_event(event)
    assert "\x1b" not in cli("view", tmp_path / "a.sbt").out
    line = list(csv.DictReader(io.StringIO(cli("view", tmp_path / "a.sbt", "-f", "csv").out)))[0]
    assert line["name"].startswith("bad\x1b[31mname, ")
    assert cli("view", tmp_path / "a.sbt", "-f", "json").data["events"][0]["name"] == event.name


def record_and_kill(path: Path, *options: str) -> None:
    words = [sys.executable, "-m", "tracesmith", "record", "-d", "60s", "-o", str(path), *options]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd=path.parent) as recording:
        deadline = time.monotonic() + 30
        while not (path.exists() and path.stat().st_size > 20_000):
            assert time.monotonic() < deadline and recording.poll() is None
            time.sleep(0.02)
        recording.kill()


@pytest.fixture
def killed(tmp_path: Path, command: Callable) -> Iterator[Path]:
    """The file of a recording that was killed while it ran."""
    path = tmp_path / "killed.sbt"
    record_and_kill(path)
    yield path
    command("repair", path)  # or its buffers would stay in shared memory


def orphans(cli: Callable, path: Path) -> list[dict]:
    return [o for o in cli("info", "--format", "json").data["orphaned"] if o["file"] == str(path)]


def test_the_file_of_a_killed_recording_reads_and_says_that_it_is_incomplete(
    cli: Callable, killed: Path
) -> None:
    assert cli("info", killed, "--format", "json").data["complete"] is False
    assert "repair" in cli("info", killed).out
    assert cli("view", killed, "-n", "1", "-f", "json").data["events"]
    assert [orphan["recoverable"] for orphan in orphans(cli, killed)] == [True]
    assert f"{killed}: its run died" in cli("info").out
    killed.rename(killed.with_name("moved.sbt"))
    assert [orphan["recoverable"] for orphan in orphans(cli, killed)] == [False]
    assert f"{orphans(cli, killed)[0]['buffers']}: of a dead run" in cli("info").out
    killed.with_name("moved.sbt").rename(killed)
    assert cli("info", killed, "--format", "json").data["orphaned"][0]["file"] == str(killed)


SHARED = os.statvfs("/dev/shm")
LARGE = 64 << 30  # a buffer for which four times as much must be free in shared memory


@pytest.mark.skipif(SHARED.f_bavail * SHARED.f_frsize >= 4 * LARGE, reason="shared memory is never too small")
def test_a_dead_run_whose_buffers_lie_beside_its_file_is_found(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "killed.sbt"
    record_and_kill(path, "-b", "64G")
    (buffers,) = tmp_path.glob(".tracesmith-*")
    expected = [{"file": str(path), "buffers": str(buffers), "recoverable": True}]
    assert orphans(cli, path) == []
    assert cli("info", path, "--format", "json").data["orphaned"] == expected
    assert f"{path}: its run died" in cli("info", path).out
    monkeypatch.chdir(tmp_path)
    assert orphans(cli, path) == expected
    assert cli("info", "killed.sbt", "--format", "json").data["orphaned"] == expected
    assert cli("repair", path).code == 0
    assert not buffers.exists()
    assert orphans(cli, path) == []
    assert cli("info", path, "--format", "json").data["orphaned"] == []


def test_repair_takes_what_a_killed_recording_had_committed(cli: Callable, killed: Path) -> None:
    before = cli("info", killed, "--format", "json").data
    result = cli("repair", killed, "--format", "json")
    assert result.code == 0, result.err
    assert result.data["drained"] is True
    after = cli("info", killed, "--format", "json").data
    assert after["complete"] is True
    assert after["events"] == before["events"] + result.data["recovered"] == result.data["events"]
    assert "complete already" in cli("repair", killed).out
    assert orphans(cli, killed) == []


def test_repair_makes_a_file_that_was_cut_whole(cli: Callable, simulated: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.sbt"
    path.write_bytes(simulated.read_bytes()[:-100])
    refused = cli("info", path)
    assert refused.code == 1
    assert "repair" in refused.err
    result = cli("repair", path)
    assert result.code == 0, result.err
    assert "is whole" in result.out
    assert cli("info", path, "--format", "json").data["complete"] is True


@pytest.mark.parametrize("verb", ["info", "view", "repair"])
def test_bad_files_are_refused_in_one_line_with_the_next_step(
    cli: Callable, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "empty.sbt").touch()
    (tmp_path / "text.sbt").write_text("This is not a trace.\n" * 100)
    for name in ("absent.sbt", "empty.sbt", "text.sbt", "."):
        result = cli(verb, tmp_path / name)
        assert result.code == 1, name
        assert result.out == ""
        assert result.err.count("\n") == 1
        assert str(tmp_path) in result.err
        assert ";" in result.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(cli: Callable, simulated: Path, tmp_path: Path) -> None:
    path = tmp_path / "closed.sbt"
    path.write_bytes(simulated.read_bytes())
    path.chmod(0)
    assert "not permitted" in cli("info", path).err


def test_json_is_one_line(cli: Callable, simulated: Path) -> None:
    for words in (["info", simulated], ["view", simulated], ["view", simulated, "--stats"]):
        out = cli(*words, "--format", "json").out
        assert out.count("\n") == 1
        json.loads(out)
