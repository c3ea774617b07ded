"""TracingSession, profile, annotate and Profiler, as their users type them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tracesmith as ts
from tracesmith import _capture


@pytest.fixture
def session():
    made = ts.TracingSession()
    yield made
    if made.active:
        made.stop()


def run_python(code, *args):
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_emitted_comes_back(session):
    assert session.start(ts.TracingConfig())
    event = ts.TraceEvent()
    event.type = ts.EventType.KernelLaunch
    event.name = "my_kernel"
    event.metadata["grid_dim"] = "256x256x1"
    assert session.emit(event)
    assert session.emit("beat")
    assert session.emit_counter("GPU Memory (MB)", 1024.5)
    statistics = session.stop()
    events = session.get_events()
    assert [e.name for e in events] == ["my_kernel", "beat", "GPU Memory (MB)"]
    assert events[0].metadata == {"grid_dim": "256x256x1"}
    assert events[0].type == ts.EventType.KernelLaunch
    assert events[2].value == 1024.5
    assert len(session.get_counters()) == 1
    assert statistics.events_emitted == statistics.events_delivered == 3
    assert statistics.events_dropped == 0
    assert session.get_statistics().duration_ms() > 0


def test_a_running_session_can_be_read(session):
    session.start()
    for i in range(3):
        session.emit(f"name {i}")
        assert len(session.get_events()) == i + 1
    assert session.is_active()
    assert session.get_state() == ts.TracingState.Running


def test_the_positional_emit_takes_all_fields(session):
    session.start()
    assert session.emit("k", ts.EventType.KernelLaunch, 1000, 20, 7, 4096)
    session.stop()
    (event,) = session.get_events().array
    assert (event["timestamp"], event["duration"], event["correlation"], event["value"]) == (
        1000,
        20,
        7,
        4096,
    )
    assert event["type"] == ts.EventType.KernelLaunch


def test_bad_arguments_are_refused_by_name(session):
    session.start()
    with pytest.raises(TypeError):
        session.emit()
    with pytest.raises(TypeError):
        session.emit("a", 1, 2, 3, 4, 5, 6)
    with pytest.raises(ValueError, match="65535"):
        session.emit("a", 65535)
    with pytest.raises(OverflowError):
        session.emit("a", 1, 2**64)
    with pytest.raises(TypeError):
        session.emit(ts.TraceEvent(), 3)
    with pytest.raises((TypeError, AttributeError)):
        session.emit(object())


def test_a_stopped_session_takes_nothing_and_says_so(session):
    assert session.emit("early") is False
    session.start()
    session.emit("in time")
    session.stop()
    assert session.emit("late") is False
    assert len(session.get_events()) == 1
    with pytest.raises(ts.StateError):
        session.stop()


def test_a_second_session_is_refused_by_name(session):
    session.start()
    with pytest.raises(ts.BusyError, match="running"):
        ts.TracingSession().start()


def test_a_restarted_session_forgets_the_last_run(session):
    for _ in range(3):
        session.start()
        session.emit("once")
        session.stop()
        assert len(session.get_events()) == 1


def test_a_private_file_goes_with_its_session():
    made = ts.TracingSession()
    made.start()
    path = made.path
    made.emit("x")
    made.stop()
    assert os.path.exists(path)
    del made
    assert not os.path.exists(path)


def test_an_exported_file_is_a_trace_of_its_own(session, tmp_path):
    session.start()
    session.emit("x")
    session.export_to_file(tmp_path / "running.sbt")
    session.emit("y")
    session.stop()
    session.export_to_file(tmp_path / "stopped.sbt")
    assert len(ts.open(tmp_path / "running.sbt")) == 1
    assert len(ts.open(tmp_path / "stopped.sbt")) == 2
    session.export_to_file(tmp_path / "x.json")
    names = [event["name"] for event in json.loads((tmp_path / "x.json").read_text())["traceEvents"]]
    assert names[:2] == ["x", "y"]
    with pytest.raises(ValueError, match="tells no format"):
        session.export_to_file(tmp_path / "x.abc")


def test_threads_are_told_apart(session):
    session.start()
    threads = [threading.Thread(target=lambda: [session.emit("x") for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statistics = session.stop()
    events = session.get_events()
    assert len(events) == 4000 == statistics.events_delivered
    assert len(set(events["thread"].tolist())) == 4


def test_ten_thousand_names_are_all_kept(session):
    session.start(ts.TracingConfig(overflow_policy=ts.OverflowPolicy.Block))
    names = [f"name {i}" for i in range(10_000)]
    for name in names:
        session.emit(name)
    session.stop()
    assert [e.name for e in session.get_events()] == names


def test_odd_names_survive(session):
    odd = ["", "é" * 1000, "a\0b", "x" * (1 << 20), "\udc80 bad utf-8"]
    session.start()
    for name in odd:
        assert session.emit(name)
    session.stop()
    assert [e.name for e in session.get_events()] == odd


@pytest.mark.parametrize("policy", list(ts.OverflowPolicy))
def test_counts_add_up_under_every_policy(session, policy):
    session.start(ts.TracingConfig(buffer_size_kb=256, overflow_policy=policy))
    for _ in range(100_000):
        session.emit("x")
    statistics = session.stop()
    assert statistics.events_emitted == 100_000
    assert statistics.events_emitted == statistics.events_delivered + statistics.events_dropped
    assert len(session.get_events()) == statistics.events_delivered


def test_pause_and_resume(session):
    session.start()
    session.emit("a")
    session.pause()
    assert session.emit("b") is False
    session.resume()
    session.emit("c")
    assert session.stop().events_emitted == 2


def test_a_session_ends_by_itself_after_its_duration(session):
    session.start(ts.TracingConfig(duration_ms=50))
    session.emit("x")
    deadline = time.monotonic() + 5
    while session.active and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not session.active
    assert len(session.get_events()) == 1


def test_annotate_is_a_context_manager_and_a_decorator(session):
    @ts.annotate("function")
    def double(x, *, plus=0):
        """Doc."""
        return 2 * x + plus

    class Thing:
        @ts.annotate("method")
        def get(self):
            return self

    assert double.__name__ == "double" and double.__doc__ == "Doc."
    session.start()
    with ts.annotate("outer"):
        with ts.annotate("inner"):
            time.sleep(0.002)
        assert double(3, plus=1) == 7
    thing = Thing()
    assert thing.get() is thing
    with pytest.raises(ZeroDivisionError), ts.annotate("raises"):
        1 / 0  # noqa: B018
    session.stop()
    events = session.get_events()
    by_name = {e.name: e for e in events}
    assert set(by_name) == {"outer", "inner", "function", "method", "raises"}
    assert all(events["type"] == ts.EventType.Range)
    outer, inner = by_name["outer"], by_name["inner"]
    assert inner.duration >= 2_000_000
    assert outer.timestamp <= inner.timestamp
    assert outer.timestamp + outer.duration >= inner.timestamp + inner.duration


def test_annotate_refuses_what_it_cannot_measure():
    async def coroutine():
        pass

    with pytest.raises(TypeError, match="coroutines"):
        ts.annotate("x")(coroutine)
    for wrong in ((), (1,), ("a", "b")):
        with pytest.raises(TypeError):
            ts.annotate(*wrong)
    with pytest.raises(TypeError):
        ts.annotate(label="x")
    assert ts.annotate(name="x")
    with pytest.raises(TypeError):
        ts.annotate("x")(3)


def test_one_annotation_serves_recursion_and_threads(session):
    mark = ts.annotate("again")

    def descend(depth):
        with mark:
            if depth:
                descend(depth - 1)

    session.start()
    threads = [threading.Thread(target=descend, args=(100,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session.stop()
    events = session.get_events()
    assert len(events) == 4 * 101
    assert (events["duration"] < 10**10).all()


def test_annotations_without_a_session_cost_nothing_and_break_nothing():
    with ts.annotate("nobody listens"):
        pass


def test_profile_records_a_block(tmp_path):
    path = tmp_path / "run.sbt"
    with ts.profile(path) as session:
        session.emit("x")
        with ts.profile() as inner:
            assert inner is session
            inner.emit("joined")
        assert session.active
    trace = ts.open(path)
    assert trace.complete
    assert [e.name for e in trace.events] == ["x", "joined"]


def test_profile_decorates_and_keeps_the_trace_of_a_run_that_raised(tmp_path):
    path = tmp_path / "run.sbt"

    @ts.profile(path)
    def train():
        with ts.annotate("step"):
            raise RuntimeError("NaN")

    with pytest.raises(RuntimeError):
        train()
    trace = ts.open(path)
    assert trace.complete and len(trace) == 1
    assert trace.notes["exception"] == "RuntimeError: NaN"


def test_a_session_still_running_at_exit_is_finished(tmp_path):
    path = tmp_path / "exit.sbt"
    run_python(
        "import sys, tracesmith as ts\n"
        "s = ts.TracingSession(); s.start(output=sys.argv[1])\n"
        "for i in range(1000): s.emit('x')\n",
        str(path),
    )
    trace = ts.open(path)
    assert trace.complete and len(trace) == 1000


def test_os_exit_and_kill_lose_nothing(tmp_path):
    for end in ("os._exit(0)", "os.kill(os.getpid(), 9)"):
        path = tmp_path / "dead.sbt"
        code = (
            "import os, sys, tracesmith as ts\n"
            "s = ts.TracingSession(); s.start(output=sys.argv[1])\n"
            "for i in range(1000): s.emit('x')\n" + end
        )
        subprocess.run([sys.executable, "-c", code, str(path)], timeout=60)
        assert not ts.open(path).complete
        report = _capture.recover(path)
        assert report["drained"]
        trace = ts.open(path)
        assert trace.complete and len(trace) == 1000


def test_forked_children_are_in_the_file_and_multiprocessing_too(tmp_path):
    path = tmp_path / "fork.sbt"
    run_python(
        "import multiprocessing, os, sys, tracesmith as ts\n"
        "def work(n):\n"
        "    for i in range(n): session.emit('child')\n"
        "session = ts.TracingSession(); session.start(output=sys.argv[1])\n"
        "session.emit('parent')\n"
        "context = multiprocessing.get_context('fork')\n"
        "workers = [context.Process(target=work, args=(100,)) for _ in range(3)]\n"
        "[w.start() for w in workers]; [w.join() for w in workers]\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    session.emit('forked'); sys.exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "s = session.stop(); assert s.events_emitted == 302 == s.events_delivered, s\n",
        str(path),
    )
    trace = ts.open(path)
    assert trace.complete and len(trace) == 302
    assert len(trace.processes) - 1 == 5


def test_an_interrupted_program_keeps_its_trace(tmp_path):
    path = tmp_path / "int.sbt"
    code = (
        "import sys, time, tracesmith as ts\n"
        "with ts.profile(sys.argv[1]) as s:\n"
        "    s.emit('x'); print('ready', flush=True); time.sleep(30)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(20)
    trace = ts.open(path)
    assert trace.complete
    assert trace.notes["exception"].startswith("KeyboardInterrupt")


def test_the_simulation_has_the_answers_it_says(session):
    session.start()
    answers = _capture.simulate(seed=3, steps=5)
    session.stop()
    events = session.get_events()
    assert len(events) == answers["events"]
    assert (events["type"] == ts.EventType.KernelLaunch).sum() == answers["kernels"]


def test_the_simulation_is_the_same_everywhere_and_every_time(session):
    columns = []
    for _ in range(2):
        session.start()
        _capture.simulate(seed=5, steps=3, begin_ns=1)
        session.stop()
        # Where one block ends and the next begins depends on the drain's timing; the events do not.
        array = session.get_events().array[["timestamp", "duration", "correlation", "type"]]
        columns.append(np.sort(array).tolist())
    assert columns[0] == columns[1]


def test_a_profiler_captures_until_it_is_stopped():
    profiler = ts.create_profiler(ts.PlatformType.Simulation)
    config = ts.ProfilerConfig()
    config.capture_memset = False
    config.capture_callstacks = False
    assert profiler.initialize(config)
    profiler.start_capture()
    assert profiler.is_capturing()
    time.sleep(0.1)
    profiler.stop_capture()
    events = profiler.get_events()
    kinds = set(events["type"].tolist())
    assert ts.EventType.KernelLaunch in kinds
    assert ts.EventType.MemsetDevice not in kinds
    assert not events["stack"].any()
    assert profiler.events_captured() == len(events)
    assert profiler.events_dropped() == 0
    assert profiler.get_device_info()[0].name == "Simulated GPU"
    assert len(profiler.get_events(10)) == 10


def test_the_short_ways_to_record():
    assert ts.detect_platform() == ts.PlatformType.Simulation
    assert ts.Profiler().platform_type() == ts.PlatformType.Simulation
    assert len(ts.capture_trace(duration_ms=50)) > 0
    with pytest.raises(ts.UnsupportedError, match="CUDA"):
        ts.create_profiler(ts.PlatformType.CUDA)


def test_reading_while_it_is_written(session):
    session.start()
    session.emit("a")
    session.flush()
    trace = ts.open(session.path)
    assert len(trace) == 1 and not trace.complete
    session.emit("b")
    session.stop()
    trace.refresh()
    assert len(trace) == 2 and trace.complete


def test_start_refuses_what_cannot_be(session, tmp_path):
    with pytest.raises(FileNotFoundError):
        session.start(output=tmp_path / "no" / "where.sbt")
    assert session.get_state() == ts.TracingState.Stopped
    session.start(output=tmp_path / "fine.sbt")
