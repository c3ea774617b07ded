"""Databases as Nsight Systems exports them, small and of several years: what a table lacks in a
year, its rows lack too."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

MACHINE = 1 << 48
PID, TID = 4711, 4712
PROCESS = MACHINE | PID << 24
THREAD = PROCESS | TID
OTHER = MACHINE | 4800 << 24
GENERATIONS = (2020, 2023, 2026)
DEVICE = "start end deviceId contextId streamId correlationId globalPid"

# By table: its columns in 2020, those that came in 2023, those that came in 2026.
COLUMNS = {
    "CUPTI_ACTIVITY_KIND_KERNEL": (
        "start end deviceId contextId streamId correlationId demangledName shortName registersPerThread"
        " gridX gridY gridZ blockX blockY blockZ staticSharedMemory dynamicSharedMemory"
        " localMemoryPerThread",
        "globalPid mangledName graphNodeId graphId",
        "greenContextId clusterX clusterY clusterZ tensorSizeMinusOneElements",
    ),
    "CUPTI_ACTIVITY_KIND_MEMCPY": (
        DEVICE + " bytes copyKind srcKind dstKind",
        "srcDeviceId dstDeviceId graphNodeId",
        "copyCount",
    ),
    "CUPTI_ACTIVITY_KIND_MEMSET": (DEVICE + " value bytes memKind", "graphNodeId", "greenContextId"),
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": (DEVICE + " syncType eventId", "", "eventSyncId"),
    "CUPTI_ACTIVITY_KIND_RUNTIME": (
        "start end eventClass globalTid correlationId nameId returnValue",
        "callchainId",
        "",
    ),
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": (None, DEVICE + " graphId graphExecId", "greenContextId"),
    "CUPTI_ACTIVITY_KIND_CUDA_EVENT": (
        None,
        "deviceId contextId streamId correlationId globalPid eventId",
        "timestamp eventSyncId",
    ),
    "CUDA_GPU_MEMORY_USAGE_EVENTS": (
        None,
        "start globalPid deviceId contextId address bytes memKind memoryOperationType correlationId",
        "",
    ),
    "CUDA_CALLCHAINS": ("id symbol module originalIP stackDepth", "unresolved", ""),
    "OSRT_CALLCHAINS": ("id symbol module originalIP stackDepth", "unresolved", ""),
    "OSRT_API": ("start end eventClass globalTid nameId returnValue callchainId", "", ""),
    "CUBLAS_EVENTS": ("start end eventClass globalTid nameId", "", ""),
    "PROFILER_OVERHEAD": ("start end globalTid nameId overheadType", "", ""),
    "NVTX_EVENTS": (
        "start end eventType rangeId category color text globalTid endGlobalTid textId domainId"
        " uint64Value int64Value doubleValue uint32Value int32Value floatValue",
        "jsonTextId jsonText",
        "binaryData",
    ),
    "GPU_METRICS": ("timestamp typeId metricId value", "rawTimestamp", ""),
    "TARGET_INFO_GPU_METRICS": ("typeId sourceId typeName metricId metricName", "", ""),
    "TARGET_INFO_GPU": (
        "id name totalMemory clockRate smCount uuid computeMajor computeMinor",
        "cuDevice threadsPerWarp maxWarpsPerSm",
        "",
    ),
    "TARGET_INFO_CUDA_STREAM": ("streamId processId contextId priority flag", "", ""),
    "TARGET_INFO_SYSTEM_ENV": ("globalVid devStateName name nameEnum value", "", ""),
    "TARGET_INFO_SESSION_START_TIME": ("utcEpochNs utcTime localTime", "", ""),
    "META_DATA_EXPORT": ("name value", "", ""),
    "META_DATA_CAPTURE": ("name value", "", ""),
    "DIAGNOSTIC_EVENT": ("timestamp timestampType source severity text globalPid", "", ""),
    "ThreadNames": ("nameId priority globalTid", "", ""),
    "PROCESSES": (None, "globalPid pid name", ""),
    "SCHED_EVENTS": ("start cpu isSchedIn globalTid", "", ""),
}
STRINGS = {
    0: "[Unknown]",
    1: "void add<float>(float*, int)",
    2: "add",
    3: "ncclDevKernel_AllReduce_Sum_f32(ncclDevComm*)",
    4: "cudaLaunchKernel_v7000",
    5: "cudaStreamSynchronize_v3020",
    6: "cudaMalloc_v3020",
    7: "cuMemAlloc_v2",
    8: "cudaEventRecord_v3020",
    9: "cudaGraphLaunch_v10000",
    10: "libc.so.6",
    11: "main",
    12: "pthread_cond_wait",
    13: "cublasSgemm_v2",
    14: "worker",
    15: "registered",
    16: "cudaMemcpyAsync_v3020",
    17: "TLS allocation",
    70: "far from the others",
}


class Database:
    def __init__(self, path: Path, generation: int = GENERATIONS[-1], strings: bool = True) -> None:
        self.path = path
        self.generation = generation
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode = OFF")
        self.made: dict[str, list[str]] = {}
        if strings:
            self.connection.execute("CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT NOT NULL)")
            self.connection.executemany("INSERT INTO StringIds VALUES (?, ?)", STRINGS.items())

    def columns(self, table: str) -> list[str]:
        parts = zip(COLUMNS[table], GENERATIONS, strict=True)
        known = [part or "" for part, year in parts if year <= self.generation]
        return [] if COLUMNS[table][0] is None and self.generation == 2020 else " ".join(known).split()

    def add(self, table: str, *rows: dict[str, Any]) -> Database:
        """Rows of a table that this generation may lack; so may it the columns."""
        columns = self.columns(table)
        if not columns:
            return self
        if table not in self.made:
            self.made[table] = columns
            listed = ", ".join(f'"{column}"' for column in columns)
            self.connection.execute(f"CREATE TABLE {table} ({listed})")
        for row in rows:
            marks = ", ".join("?" * len(columns))
            values = [row.get(column) for column in columns]
            self.connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
        return self

    def execute(self, sql: str, *values: Any) -> Database:
        self.connection.execute(sql, values)
        return self

    def close(self) -> Path:
        self.connection.commit()
        self.connection.close()
        return self.path


def kernel(start: int, end: int, **other: Any) -> dict[str, Any]:
    shape = {"gridX": 80, "gridY": 2, "gridZ": 1, "blockX": 256, "blockY": 1, "blockZ": 1}
    place = {"deviceId": 0, "contextId": 1, "streamId": 7, "globalPid": PROCESS}
    more = {"registersPerThread": 32, "staticSharedMemory": 16, "dynamicSharedMemory": 1024}
    names = {"demangledName": 1, "shortName": 2, "localMemoryPerThread": 8, "clusterX": 0}
    return {"start": start, "end": end, "correlationId": 0} | shape | place | more | names | other


def work(start: int, end: int, **other: Any) -> dict[str, Any]:
    place = {"deviceId": 0, "contextId": 1, "streamId": 7, "globalPid": PROCESS}
    return {"start": start, "end": end, "correlationId": 0} | place | other


def call(start: int, end: int, name: int, correlation: int, **other: Any) -> dict[str, Any]:
    made = {"start": start, "end": end, "nameId": name, "correlationId": correlation, "returnValue": 0}
    return made | {"eventClass": 0, "globalTid": THREAD} | other


def full(path: Path, generation: int) -> Path:
    """Something of everything."""
    base = Database(path, generation)
    base.add(
        "CUPTI_ACTIVITY_KIND_KERNEL",
        kernel(1_000, 1_500, correlationId=1),
        kernel(1_700, 2_700, correlationId=2, streamId=13, demangledName=3, shortName=3),
        # Behind its time, as some tables are.
        kernel(1_600, 1_650, correlationId=3, deviceId=1, contextId=2),
        kernel(5_000, 5_100, correlationId=9, graphId=4, graphNodeId=77),
        kernel(5_100, 5_300, correlationId=9, graphId=4, graphNodeId=78, gridX=1),
        kernel(9_000, 9_001, correlationId=999, demangledName=12345),
    )
    base.add(
        "CUPTI_ACTIVITY_KIND_MEMCPY",
        work(3_000, 3_400, correlationId=4, bytes=4096, copyKind=1, srcKind=0, dstKind=2),
        work(3_500, 3_600, bytes=512, copyKind=2, srcKind=2, dstKind=1),
        work(3_600, 3_650, bytes=64, copyKind=8, srcKind=2, dstKind=2, srcDeviceId=0, dstDeviceId=1),
        work(3_700, 3_750, bytes=32, copyKind=11),
        work(3_800, 3_850, bytes=16, copyKind=99),
    )
    base.add("CUPTI_ACTIVITY_KIND_MEMSET", work(3_900, 3_950, bytes=256, memKind=2, value=0))
    base.add(
        "CUPTI_ACTIVITY_KIND_RUNTIME",
        call(900, 950, 4, 1, callchainId=1),
        call(960, 980, 4, 2, globalTid=PROCESS | 4720),
        call(985, 990, 4, 3),
        call(2_900, 2_950, 16, 4, returnValue=2),
        call(3_955, 3_990, 8, 5),
        call(4_000, 4_500, 5, 6),
        call(4_600, 4_700, 6, 7),
        call(4_700, 4_800, 7, 8, eventClass=1),
        call(4_900, 4_950, 9, 9),
    )
    # The numbers of 2025.5: 2 for a stream's synchronisation.
    base.add(
        "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION",
        work(4_010, 4_490, correlationId=6, syncType=2, eventId=0xFFFFFFFF),
    )
    base.add("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", work(7_000, 7_900, correlationId=9, graphId=5, graphExecId=6))
    base.add(
        "CUPTI_ACTIVITY_KIND_CUDA_EVENT", work(0, 0, correlationId=5, eventId=21, streamId=13, timestamp=0)
    )
    base.add(
        "CUDA_GPU_MEMORY_USAGE_EVENTS", work(4_650, 0, correlationId=7, bytes=1 << 20, address=0x7F0000000000)
    )
    for table in ("CUDA_CALLCHAINS", "OSRT_CALLCHAINS"):
        base.add(
            table,
            {"id": 1, "symbol": 2, "module": 10, "originalIP": 0x1000, "stackDepth": 0},
            {"id": 1, "symbol": 11, "module": 10, "originalIP": 0x2000, "stackDepth": 1},
            {"id": 2, "symbol": 11, "module": 10, "originalIP": 0x2000, "stackDepth": 0},
        )
    base.add("OSRT_API", call(100, 800, 12, 0, callchainId=2), call(100, 120, 12, 0, callchainId=0))
    base.add("CUBLAS_EVENTS", call(890, 995, 13, 0))
    base.add("PROFILER_OVERHEAD", call(10, 20, 17, 0))
    base.add(
        "NVTX_EVENTS",
        {"start": 0, "eventType": 75, "globalTid": THREAD, "domainId": 3, "text": "my domain"},
        {"start": 0, "eventType": 33, "globalTid": THREAD, "domainId": 3, "category": 9, "text": "io"},
        {"start": 850, "end": 5_500, "eventType": 59, "globalTid": THREAD, "text": "step, ÄÖÜ"},
        {
            "start": 860,
            "end": 900,
            "eventType": 60,
            "globalTid": THREAD,
            "textId": 15,
            "domainId": 3,
            "category": 9,
        },
        {"start": 870, "end": None, "eventType": 59, "globalTid": THREAD, "text": "never closed"},
        {
            "start": 880,
            "eventType": 34,
            "globalTid": THREAD,
            "text": "mark",
            "color": 0xFF00FF00,
            "int64Value": -5,
        },
        {"start": 885, "eventType": 34, "globalTid": THREAD, "text": "real", "doubleValue": 2.5},
        {"start": 886, "eventType": 34, "globalTid": THREAD, "text": "json", "jsonText": '{"a": 1}'},
        {"start": 887, "eventType": 99, "globalTid": THREAD, "text": "a stream's name"},
    )
    base.add(
        "TARGET_INFO_GPU_METRICS",
        {"typeId": MACHINE | 1, "metricId": 5, "metricName": "SMs Active [Throughput %]"},
    )
    base.add("GPU_METRICS", {"timestamp": 2_000, "typeId": MACHINE | 1, "metricId": 5, "value": 42})
    gpu = {"name": "NVIDIA H100", "totalMemory": 80 << 30, "clockRate": 1_980_000_000, "smCount": 132}
    gpu |= {"uuid": "b15c2a57-42ed-1d24-2c84-067081698645", "computeMajor": 9, "computeMinor": 0}
    gpu |= {"threadsPerWarp": 32, "maxWarpsPerSm": 64}
    base.add("TARGET_INFO_GPU", gpu | {"id": 0, "cuDevice": 0})
    base.add(
        "TARGET_INFO_CUDA_STREAM",
        {"streamId": 13, "processId": PID, "contextId": 1, "priority": -5, "flag": 1},
    )
    base.add(
        "TARGET_INFO_SYSTEM_ENV",
        {"globalVid": MACHINE, "name": "Hostname", "value": "node7"},
        {"globalVid": MACHINE, "name": "DeviceEnvironment", "value": "TOKEN=hunter2"},
    )
    base.add("TARGET_INFO_SESSION_START_TIME", {"utcEpochNs": 1_785_620_044_423_518_993})
    base.add("META_DATA_EXPORT", {"name": "EXPORT_PRODUCT_VERSION", "value": f"{generation}.1.1"})
    base.add("META_DATA_CAPTURE", {"name": "PROCESS_0:ENVIRONMENT_VARIABLE", "value": "TOKEN=hunter2"})
    base.add(
        "DIAGNOSTIC_EVENT",
        {"timestamp": 0, "severity": 1, "text": "Profiling has started."},
        {
            "timestamp": 5,
            "severity": 2,
            "text": "Not all events were collected, for a reason that is long to tell.",
        },
    )
    base.add("ThreadNames", {"nameId": 14, "globalTid": THREAD})
    base.add("PROCESSES", {"globalPid": PROCESS, "pid": PID, "name": "train.py"})
    base.add("PROCESSES", {"globalPid": OTHER, "pid": 4800, "name": "somebody-elses-editor"})
    base.add("SCHED_EVENTS", {"start": 1, "cpu": 0, "isSchedIn": 1, "globalTid": THREAD}, {"start": 2})
    return base.close()
