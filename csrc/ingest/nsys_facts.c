/* What is true of the whole report: machines, devices, streams' priorities, names of processes and
 * threads, the session and what the profiler said about itself. */
#include <stdio.h>
#include <string.h>

#include "ingest/nsys.h"

static void
set_key(nsys *im, unsigned kind, int64_t a, int64_t b, int64_t c, uint32_t value)
{
    uint32_t *slot = nsys_key(im, kind, a, b, c);
    if (slot != NULL) {
        *slot = value;
    }
}

static uint32_t
string_at(nsys *im, tsm_sqlite_statement *row, int column)
{
    tsm_text text = nsys_string(im, row, column);
    return ingest_string(&im->buffer, text.data, text.size);
}

/* Of every process and thread of the machine: so they are strings of ours only when events belong
 * to them. Noted plus 1. */
static void
keep_process(nsys *im, tsm_sqlite_statement *row)
{
    int64_t global = nsys_integer(im, row, 0);
    if (nsys_text_keep(im, &im->process_names, &im->process_name_count, &im->process_name_capacity, global,
                       nsys_string(im, row, 1))) {
        set_key(im, NSYS_KEY_PROCESS_NAME, global, 0, 0, (uint32_t)im->process_name_count);
    }
}

static void
keep_thread_name(nsys *im, tsm_sqlite_statement *row)
{
    int64_t id = nsys_integer(im, row, 1);
    if (id >= 0 && id < UINT32_MAX) {
        set_key(im, NSYS_KEY_THREAD_NAME, nsys_integer(im, row, 0), 0, 0, (uint32_t)id + 1);
    }
}

static void
keep_priority(nsys *im, tsm_sqlite_statement *row)
{
    uint32_t priority = (uint32_t)(int32_t)nsys_integer(im, row, 3) + 1;
    set_key(im, NSYS_KEY_PRIORITY, nsys_integer(im, row, 0), nsys_integer(im, row, 1), nsys_integer(im, row, 2),
            priority);
}

static bool
is_text(tsm_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* Of the machine's properties only these: others hold its environment, which may hold secrets. */
static void
keep_property(nsys *im, tsm_sqlite_statement *row)
{
    static const char *const kept[] = { "CpuDescription", "CudaDriverVersion", "NvDriverVersion", "OsDescription",
                                        "SoftwareReleaseVersion" };
    char key[64];
    tsm_text name = nsys_string(im, row, 1);
    if (is_text(name, "Hostname")) {
        uint64_t host[TSM_COLUMNS_MAX] = { [TSM_HOST_NAME] = string_at(im, row, 2) };
        im->host = ingest_row(&im->buffer, TSM_TABLE_HOSTS, host);
        set_key(im, NSYS_KEY_HOST, (int64_t)((uint64_t)nsys_integer(im, row, 0) >> 48), 0, 0, im->host);
        return;
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (is_text(name, kept[i])) {
            tsm_text value = nsys_string(im, row, 2);
            snprintf(key, sizeof key, "nsys:%s", kept[i]);
            ingest_info(&im->buffer, key, value.data, value.size);
        }
    }
}

/* ---- Devices --------------------------------------------------------------------------------- */

enum {
    GPU_CUDA,
    GPU_ID,
    GPU_NAME,
    GPU_UUID,
    GPU_MAJOR,
    GPU_MINOR,
    GPU_MEMORY,
    GPU_CLOCK,
    GPU_MULTIPROCESSORS,
    GPU_WARP,
    GPU_WARPS,
    GPU_COLUMNS,
};

/* Sixteen bytes in hexadecimal; what is between the digits does not matter. */
static void
read_uuid(tsm_text text, uint64_t *high, uint64_t *low)
{
    uint64_t halves[2] = { 0, 0 };
    size_t digits = 0;
    for (size_t i = 0; i < text.size && digits < 32; i++) {
        char byte = text.data[i];
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (digit >= 0) {
            halves[digits / 16] = halves[digits / 16] << 4 | (uint64_t)digit;
            digits++;
        }
    }
    *high = digits == 32 ? halves[0] : 0;
    *low = digits == 32 ? halves[1] : 0;
}

static void
keep_device(nsys *im, tsm_sqlite_statement *row)
{
    int64_t ordinal = nsys_integer(im, row, nsys_is_null(im, row, GPU_CUDA) ? GPU_ID : GPU_CUDA);
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_DEVICE_HOST] = im->host,
        [TSM_DEVICE_ORDINAL] = (uint64_t)ordinal,
        [TSM_DEVICE_NAME] = string_at(im, row, GPU_NAME),
        [TSM_DEVICE_VENDOR] = ingest_word(&im->buffer, "NVIDIA"),
        [TSM_DEVICE_COMPUTE_MAJOR] = (uint64_t)nsys_integer(im, row, GPU_MAJOR),
        [TSM_DEVICE_COMPUTE_MINOR] = (uint64_t)nsys_integer(im, row, GPU_MINOR),
        [TSM_DEVICE_MEMORY_BYTES] = (uint64_t)nsys_integer(im, row, GPU_MEMORY),
        [TSM_DEVICE_CLOCK_KHZ] = (uint64_t)nsys_integer(im, row, GPU_CLOCK) / 1000,
        [TSM_DEVICE_MULTIPROCESSORS] = (uint64_t)nsys_integer(im, row, GPU_MULTIPROCESSORS),
        [TSM_DEVICE_WARP_SIZE] = (uint64_t)nsys_integer(im, row, GPU_WARP),
        [TSM_DEVICE_THREADS_PER_MULTIPROCESSOR] =
            (uint64_t)nsys_integer(im, row, GPU_WARPS) * (uint64_t)nsys_integer(im, row, GPU_WARP),
    };
    read_uuid(nsys_string(im, row, GPU_UUID), &values[TSM_DEVICE_UUID_HIGH], &values[TSM_DEVICE_UUID_LOW]);
    if (nsys_find(im, NSYS_KEY_DEVICE, ordinal, 0, 0) == 0) {
        set_key(im, NSYS_KEY_DEVICE, ordinal, 0, 0, ingest_row(&im->buffer, TSM_TABLE_DEVICES, values));
    }
}

/* 'SMs Active [Throughput %]': the unit is in the brackets. */
static void
keep_metric(nsys *im, tsm_sqlite_statement *row)
{
    tsm_text name = nsys_string(im, row, 2);
    size_t open = name.size;
    while (open > 0 && name.size > 0 && name.data[name.size - 1] == ']' && name.data[open - 1] != '[') {
        open--;
    }
    bool has_unit = open > 0 && open < name.size;
    size_t size = has_unit ? open - 1 : name.size;
    while (has_unit && size > 0 && name.data[size - 1] == ' ') {
        size--;
    }
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_COUNTER_NAME] = ingest_string(&im->buffer, name.data, size),
        [TSM_COUNTER_UNIT] = has_unit ? ingest_string(&im->buffer, name.data + open, name.size - open - 1) : 0,
    };
    set_key(im, NSYS_KEY_METRIC, nsys_integer(im, row, 0), nsys_integer(im, row, 1), 0,
            ingest_row(&im->buffer, TSM_TABLE_COUNTERS, values));
}

/* ---- The session ----------------------------------------------------------------------------- */

/* Who exported it and how the program was started stays out: users, paths, environments. */
static void
keep_export_fact(nsys *im, tsm_sqlite_statement *row)
{
    tsm_text name = nsys_string(im, row, 0), value = nsys_string(im, row, 1);
    char source[96];
    if (is_text(name, "EXPORT_PRODUCT_VERSION")) {
        int size = snprintf(source, sizeof source, "Nsight Systems %.64s", value.data);
        ingest_info(&im->buffer, "source", source, (size_t)size);
    } else if (is_text(name, "EXPORT_SCHEMA_VERSION")) {
        ingest_info(&im->buffer, "nsys:EXPORT_SCHEMA_VERSION", value.data, value.size);
    }
}

static void
keep_start(nsys *im, tsm_sqlite_statement *row)
{
    /* Asked for before it is made a text, which changes its type. */
    if (nsys_integer(im, row, 0) > 0) {
        tsm_text text = nsys_string(im, row, 0);
        ingest_info(&im->buffer, "nsys:utcEpochNs", text.data, text.size);
    }
}

/* What it warned of is in the report, cut short, and whole among the facts. */
static void
keep_diagnostic(nsys *im, tsm_sqlite_statement *row)
{
    int64_t severity = nsys_integer(im, row, 0);
    char text[64];
    if (severity != 2 && severity != 3) {
        return;
    }
    tsm_text said = nsys_string(im, row, 1);
    size_t size = said.size < sizeof text - 1 ? said.size : sizeof text - 1;
    memcpy(text, said.data, size);
    text[size] = 0;
    ingest_count(im->buffer.report, text, severity == 2 ? "a warning of the profiler's" : "an error of the profiler's",
                 1);
    ingest_info(&im->buffer, severity == 2 ? "nsys:warning" : "nsys:error", said.data, said.size);
}

typedef struct {
    const char *table, *columns[GPU_COLUMNS];
    nsys_row *keep;
} fact;

bool
nsys_facts_read(nsys *im)
{
    static const fact facts[] = {
        { "PROCESSES", { "globalPid", "name" }, keep_process },
        { "ThreadNames", { "globalTid", "nameId" }, keep_thread_name },
        { "TARGET_INFO_CUDA_STREAM", { "processId", "contextId", "streamId", "priority" }, keep_priority },
        { "TARGET_INFO_SYSTEM_ENV", { "globalVid", "name", "value" }, keep_property },
        { "TARGET_INFO_GPU",
          { "cuDevice", "id", "name", "uuid", "computeMajor", "computeMinor", "totalMemory", "clockRate", "smCount",
            "threadsPerWarp", "maxWarpsPerSm" },
          keep_device },
        { "TARGET_INFO_GPU_METRICS", { "typeId", "metricId", "metricName" }, keep_metric },
        { "META_DATA_EXPORT", { "name", "value" }, keep_export_fact },
        { "TARGET_INFO_SESSION_START_TIME", { "utcEpochNs" }, keep_start },
        { "DIAGNOSTIC_EVENT", { "severity", "text" }, keep_diagnostic },
    };
    ingest_info(&im->buffer, "source", "Nsight Systems", 14);
    ingest_info(&im->buffer, "clock", "unknown", 7);
    bool fine = im->buffer.status == TSM_OK;
    for (size_t i = 0; fine && i < sizeof facts / sizeof *facts; i++) {
        size_t count = 0;
        while (count < GPU_COLUMNS && facts[i].columns[count] != NULL) {
            count++;
        }
        fine = nsys_each(im, facts[i].table, facts[i].columns, count, "", facts[i].keep);
    }
    return fine;
}
