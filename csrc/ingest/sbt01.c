/* SBT 0.1. A header of 72 bytes says where the sections are; a file that was never finished says
 * nothing, and is read in its order. Sections have no length, and no checksum: what is damaged ends
 * its section, and the report says so.
 *
 *   0    4    6    8      12     16        24       32       40      48      56      64
 *   | SBT\0 | 0 | 1 | flags | 72 | metadata | strings | devices | events | stacks | count | packed |
 *
 *   metadata  01 application command-line start end host pid
 *   devices   03 count { ordinal name vendor and ten numbers }
 *   events    04 first-timestamp { type flags delta ... }
 *   strings   02 count { text }
 *
 * Numbers behind the header are varints, a text is its length and its bytes. */
#include "ingest/sbt01.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ingest/keep.h"
#include "ingest/whole.h"

enum { HEADER_BYTES = 72, METADATA_AT = 16, STRINGS_AT = 24, DEVICES_AT = 32, EVENTS_AT = 40, COUNT_AT = 56 };
enum { PACKED_AT = 64 };
enum { SECTION_METADATA = 1, SECTION_STRINGS = 2, SECTION_DEVICES = 3, SECTION_EVENTS = 4, SECTION_END = 255 };
enum { HAS_DURATION = 1, HAS_KERNEL = 2, HAS_MEMORY = 4, HAS_STACK = 8, HAS_ALL = 15 };

static const char damaged[] = "damaged, or cut off";
static const char not_finished[] = "the file was never finished: its names are lost";

typedef struct {
    ingest_buffer out;
    const uint8_t *data;
    size_t size;
    tsm_bytes in; /* the section that is read */
    uint32_t *strings;
    uint64_t string_count;
    bool names_lost;
    uint32_t process;
    uint32_t memory_schema, stack_schema;
    ingest_keys devices;                 /* by ordinal */
    uint64_t kept[TSM_EVENT_CUSTOM + 1]; /* events, by type */
} importer;

static uint32_t
string_of(importer *im, uint64_t index)
{
    char text[32];
    if (index < im->string_count) {
        return im->strings[index];
    }
    if (!im->names_lost) {
        ingest_count(im->out.report, "name", "not in the file's strings", 1);
    }
    snprintf(text, sizeof text, "name %" PRIu64, index);
    return ingest_word(&im->out, text);
}

static uint32_t
read_text(importer *im)
{
    uint64_t size = tsm_bytes_varint(&im->in);
    const uint8_t *text = tsm_bytes_take(&im->in, size);
    return text == NULL ? 0 : ingest_string(&im->out, (const char *)text, (size_t)size);
}

/* Turns to a section. False: there is none of this type there. */
static bool
enter(importer *im, uint64_t offset, uint8_t type)
{
    if (offset < HEADER_BYTES || offset >= im->size || im->data[offset] != type) {
        return false;
    }
    im->in = (tsm_bytes){ .at = im->data + offset + 1, .end = im->data + im->size };
    return true;
}

/* ---- What the trace is about ----------------------------------------------------------------- */

static void
add_info(importer *im, const char *key, uint32_t text)
{
    if (text != 0) {
        ingest_row(&im->out, TSM_TABLE_INFO, (uint64_t[]){ ingest_word(&im->out, key), text });
    }
}

static void
read_metadata(importer *im)
{
    uint32_t application = read_text(im), command = read_text(im);
    (void)tsm_bytes_varint(&im->in); /* start and end tell no more than the events */
    (void)tsm_bytes_varint(&im->in);
    uint32_t host = read_text(im);
    uint64_t pid = tsm_bytes_varint(&im->in);
    if (im->in.failed) {
        ingest_count(im->out.report, "metadata", damaged, 1);
        return;
    }
    uint32_t on =
        ingest_row(&im->out, TSM_TABLE_HOSTS, (uint64_t[]){ [TSM_HOST_NAME] = host, [TSM_HOST_BOOT_LOW] = 0 });
    im->process = ingest_row(&im->out, TSM_TABLE_PROCESSES,
                             (uint64_t[]){ [TSM_PROCESS_HOST] = on, pid, 0, 0, [TSM_PROCESS_NAME] = application });
    add_info(im, "command_line", command);
    ingest_count(im->out.report, "metadata", NULL, 1);
}

/* Device 0 without a name would be row 0, and that is none. */
static uint32_t
device_of(importer *im, uint64_t ordinal)
{
    char text[32];
    uint32_t *row = ingest_keys_at(&im->devices, (uint64_t[4]){ ordinal });
    if (row == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
        return 0;
    }
    if (*row == 0) {
        snprintf(text, sizeof text, "device %" PRIu64, ordinal);
        uint64_t values[TSM_COLUMNS_MAX] = { [TSM_DEVICE_ORDINAL] = ordinal };
        values[TSM_DEVICE_NAME] = ingest_word(&im->out, text);
        *row = ingest_row(&im->out, TSM_TABLE_DEVICES, values);
    }
    return *row;
}

static void
read_device(importer *im)
{
    static const uint8_t columns[] = {
        TSM_DEVICE_COMPUTE_MAJOR,
        TSM_DEVICE_COMPUTE_MINOR,
        TSM_DEVICE_MEMORY_BYTES,
        TSM_DEVICE_MEMORY_CLOCK_KHZ,
        TSM_DEVICE_MEMORY_BUS_BITS,
        TSM_DEVICE_MULTIPROCESSORS,
        TSM_DEVICE_THREADS_PER_MULTIPROCESSOR,
        TSM_DEVICE_CLOCK_KHZ,
        TSM_DEVICE_WARP_SIZE,
    };
    uint64_t values[TSM_COLUMNS_MAX] = { [TSM_DEVICE_ORDINAL] = tsm_bytes_varint(&im->in) };
    values[TSM_DEVICE_NAME] = read_text(im);
    values[TSM_DEVICE_VENDOR] = read_text(im);
    for (size_t i = 0; i < sizeof columns; i++) {
        values[columns[i]] = tsm_bytes_varint(&im->in);
    }
    if (im->in.failed || values[TSM_DEVICE_NAME] == 0) {
        return;
    }
    uint32_t *row = ingest_keys_at(&im->devices, (uint64_t[4]){ values[TSM_DEVICE_ORDINAL] });
    if (row == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
    } else if (*row == 0) {
        *row = ingest_row(&im->out, TSM_TABLE_DEVICES, values);
        ingest_count(im->out.report, "device", NULL, 1);
    }
}

static void
read_devices(importer *im)
{
    uint64_t count = tsm_bytes_varint(&im->in);
    for (uint64_t i = 0; i < count && !im->in.failed; i++) {
        read_device(im);
    }
    if (im->in.failed) {
        ingest_count(im->out.report, "devices", damaged, 1);
    }
}

static void
read_strings(importer *im)
{
    uint64_t count = tsm_bytes_varint(&im->in);
    uint64_t most = tsm_bytes_left(&im->in); /* a text is a byte at least */
    im->strings = malloc((size_t)(count < most ? count : most) * sizeof *im->strings + 1);
    if (im->strings == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
        return;
    }
    while (im->string_count < count && !im->in.failed) {
        uint32_t row = read_text(im);
        if (!im->in.failed) {
            im->strings[im->string_count++] = row;
        }
    }
    if (im->in.failed) {
        ingest_count(im->out.report, "names", damaged, count > most ? 1 : count - im->string_count);
    }
}

/* ---- Events ---------------------------------------------------------------------------------- */

typedef struct {
    tsm_event event;
    uint64_t memory[3]; /* source, destination, bytes */
    uint64_t tid;       /* of the stack */
    uint8_t has;
} old_event;

static void
read_kernel(importer *im, old_event *old)
{
    static const uint8_t columns[] = { TSM_LAUNCH_GRID_X,         TSM_LAUNCH_GRID_Y,   TSM_LAUNCH_GRID_Z,
                                       TSM_LAUNCH_BLOCK_X,        TSM_LAUNCH_BLOCK_Y,  TSM_LAUNCH_BLOCK_Z,
                                       TSM_LAUNCH_SHARED_DYNAMIC, TSM_LAUNCH_REGISTERS };
    uint64_t values[TSM_COLUMNS_MAX] = { 0 };
    for (size_t i = 0; i < sizeof columns; i++) {
        values[columns[i]] = tsm_bytes_varint(&im->in);
    }
    old->event.extra = im->in.failed ? 0 : ingest_row(&im->out, TSM_TABLE_LAUNCHES, values);
    old->event.flags |= old->event.extra == 0 ? 0 : TSM_EXTRA_LAUNCH;
}

/* The innermost call comes first; a chain is made from its other end. */
static void
read_stack(importer *im, old_event *old)
{
    old->tid = tsm_bytes_varint(&im->in);
    uint64_t count = tsm_bytes_varint(&im->in), frame[TSM_COLUMNS_MAX];
    if (count > tsm_bytes_left(&im->in) / 4) {
        im->in.failed = true;
        return;
    }
    uint32_t *frames = malloc((size_t)count * sizeof *frames + 1), row = 0;
    if (frames == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
        return;
    }
    for (uint64_t i = 0; i < count && !im->in.failed; i++) {
        memset(frame, 0, sizeof frame);
        frame[TSM_FRAME_ADDRESS] = tsm_bytes_varint(&im->in);
        uint64_t function = tsm_bytes_varint(&im->in), file = tsm_bytes_varint(&im->in);
        frame[TSM_FRAME_LINE] = tsm_bytes_varint(&im->in);
        if (!im->in.failed) {
            frame[TSM_FRAME_FUNCTION] = string_of(im, function);
            frame[TSM_FRAME_FILE] = string_of(im, file);
            frames[i] = ingest_row(&im->out, TSM_TABLE_FRAMES, frame);
        }
    }
    for (uint64_t i = im->in.failed ? 0 : count; i-- > 0;) {
        row = ingest_row(&im->out, TSM_TABLE_STACKS, (uint64_t[]){ row, frames[i] });
    }
    old->event.stack = row;
    free(frames);
}

/* False at the end of what can be read. */
static bool
read_event(importer *im, uint64_t *time, old_event *old)
{
    *old = (old_event){ .event.type = tsm_bytes_u8(&im->in) };
    old->has = tsm_bytes_u8(&im->in);
    if ((old->has & ~HAS_ALL) != 0) {
        im->in.failed = true;
        return false;
    }
    *time += tsm_bytes_varint(&im->in);
    old->event.timestamp = *time;
    old->event.duration = old->has & HAS_DURATION ? tsm_bytes_varint(&im->in) : 0;
    uint64_t device = tsm_bytes_varint(&im->in), stream = tsm_bytes_varint(&im->in);
    old->event.correlation = tsm_bytes_varint(&im->in);
    uint64_t name = tsm_bytes_varint(&im->in);
    if (im->in.failed) {
        return false;
    }
    if (old->has & HAS_KERNEL) {
        read_kernel(im, old);
    }
    for (size_t i = 0; i < 3 && old->has & HAS_MEMORY; i++) {
        old->memory[i] = tsm_bytes_varint(&im->in);
    }
    if (old->has & HAS_STACK) {
        read_stack(im, old);
    }
    if (im->in.failed) {
        return false;
    }
    old->event.name = string_of(im, name);
    old->event.device = device_of(im, device);
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_STREAM_PROCESS] = im->process, [TSM_STREAM_DEVICE] = old->event.device, [TSM_STREAM_RAW_ID] = stream
    };
    old->event.stream = ingest_row(&im->out, TSM_TABLE_STREAMS, values);
    return true;
}

static uint32_t
thread_of(importer *im, uint64_t tid)
{
    return ingest_row(&im->out, TSM_TABLE_THREADS, (uint64_t[]){ im->process, tid, 0 });
}

/* Every old event has a stream. Where the thread is known a host event lies on that; work keeps
 * its stream anyway. */
static void
keep_event(importer *im, old_event *old)
{
    tsm_event *event = &old->event;
    bool known = event->type <= TSM_EVENT_NCCL_COMPLETE || event->type == TSM_EVENT_CUSTOM;
    event->type = known ? event->type : TSM_EVENT_UNKNOWN;
    im->kept[event->type]++;
    if (old->tid != 0 && !tsm_event_is_work(event->type)) {
        event->thread = thread_of(im, old->tid);
    }
    if (old->has & HAS_MEMORY) {
        event->value = old->memory[2];
        event->flags |= TSM_VALUE_BYTES;
    }
    ingest_buffer_add(&im->out, event);
    if (old->has & HAS_MEMORY) {
        tsm_extension made = { .type = TSM_SLOT_EXTENSION, .count = 3, .schema = im->memory_schema };
        memcpy(made.values, old->memory, sizeof old->memory);
        ingest_buffer_extend(&im->out, &made);
    }
    if (old->tid != 0) {
        ingest_buffer_extend(
            &im->out, &(tsm_extension){
                          .values = { old->tid }, .type = TSM_SLOT_EXTENSION, .count = 1, .schema = im->stack_schema });
    }
    if (ingest_buffer_full(&im->out)) {
        ingest_buffer_flush(&im->out);
    }
}

static void
make_schemas(importer *im)
{
    ingest_buffer *b = &im->out;
    uint32_t addresses =
        ingest_schema(b, "memory", (const char *const[]){ "source", "destination" }, 2, TSM_COLUMN_HEX);
    im->memory_schema =
        ingest_row(b, TSM_TABLE_SCHEMAS, (uint64_t[]){ addresses, ingest_word(b, "size"), TSM_COLUMN_U64 });
    im->stack_schema = ingest_schema(b, "call_stack", (const char *const[]){ "thread" }, 1, TSM_COLUMN_U64);
}

/* count: UINT64_MAX when the file does not know. */
static void
read_events(importer *im, uint64_t count)
{
    uint64_t time = tsm_bytes_varint(&im->in), done = 0;
    old_event old;
    make_schemas(im);
    while (done < count && im->out.status == TSM_OK && !im->in.failed
           && !(count == UINT64_MAX && (tsm_bytes_left(&im->in) == 0 || *im->in.at == SECTION_END))
           && read_event(im, &time, &old)) {
        keep_event(im, &old);
        done++;
    }
    for (uint16_t type = 0; type <= TSM_EVENT_CUSTOM; type++) {
        if (im->kept[type] > 0) {
            ingest_count(im->out.report, tsm_event_type_name(type), NULL, im->kept[type]);
        }
    }
    if (im->in.failed) {
        im->out.report->truncated = true;
        ingest_count(im->out.report, "events", damaged,
                     count == UINT64_MAX || count - done > im->size ? 1 : count - done);
    }
}

/* ---- The file -------------------------------------------------------------------------------- */

static void
read_unfinished(importer *im)
{
    im->in = (tsm_bytes){ .at = im->data + HEADER_BYTES, .end = im->data + im->size };
    im->out.report->truncated = im->names_lost = true;
    ingest_count(im->out.report, "names", not_finished, 1);
    for (;;) {
        uint8_t type = tsm_bytes_u8(&im->in);
        if (im->in.failed || type == SECTION_END) {
            return;
        }
        if (type == SECTION_EVENTS) {
            read_events(im, UINT64_MAX);
            return;
        }
        if (type != SECTION_METADATA && type != SECTION_DEVICES) {
            ingest_count(im->out.report, "section", damaged, 1);
            return;
        }
        (type == SECTION_METADATA ? read_metadata : read_devices)(im);
    }
}

static void
read_section(importer *im, size_t offset_at, uint8_t type, const char *name, void (*read)(importer *))
{
    uint64_t offset = tsm_load_u64(im->data + offset_at);
    if (offset == 0) {
        return;
    }
    if (enter(im, offset, type)) {
        read(im);
        return;
    }
    im->out.report->truncated |= offset >= im->size;
    ingest_count(im->out.report, name, damaged, 1);
}

static void
read_counted_events(importer *im)
{
    uint64_t count = tsm_load_u64(im->data + COUNT_AT);
    read_events(im, count == UINT64_MAX ? count - 1 : count);
}

static void
read_sections(importer *im)
{
    if (tsm_load_u64(im->data + STRINGS_AT) == 0) {
        read_unfinished(im);
        return;
    }
    read_section(im, STRINGS_AT, SECTION_STRINGS, "names", read_strings);
    read_section(im, METADATA_AT, SECTION_METADATA, "metadata", read_metadata);
    read_section(im, DEVICES_AT, SECTION_DEVICES, "devices", read_devices);
    read_section(im, EVENTS_AT, SECTION_EVENTS, "events", read_counted_events);
}

static tsm_status
check_header(const importer *im, tsm_error *err)
{
    if (im->size < HEADER_BYTES) {
        return tsm_fail(err, TSM_E_TRUNCATED, im->size, "the header of 72 bytes ends after %zu", im->size);
    }
    unsigned major = im->data[4] | (unsigned)im->data[5] << 8, minor = im->data[6] | (unsigned)im->data[7] << 8;
    if (memcmp(im->data, "SBT", 4) != 0) {
        return tsm_fail(err, TSM_E_FORMAT, 0, "not an SBT 0.1 file");
    }
    if (major != 0 || minor != 1) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 4, "SBT %u.%u of the earlier TraceSmith; there was only 0.1", major,
                        minor);
    }
    if (tsm_load_u32(im->data + 12) != HEADER_BYTES) {
        return tsm_fail(err, TSM_E_CORRUPT, 12, "a header of %u bytes, not 72", tsm_load_u32(im->data + 12));
    }
    return im->data[PACKED_AT] == 0 ? TSM_OK
                                    : tsm_fail(err, TSM_E_UNSUPPORTED, PACKED_AT,
                                               "compression %u, which no writer of SBT 0.1 had", im->data[PACKED_AT]);
}

tsm_status
tsm_ingest_sbt01(tsm_input *input, tsm_sink *sink, tsm_ingest_report *report, tsm_error *err)
{
    importer im = { .out = { .sink = sink, .tables = tsm_sink_tables(sink), .report = report, .err = err } };
    uint8_t *data;
    tsm_status status = ingest_read_whole(input, &data, &im.size, err);
    if (status != TSM_OK) {
        return status;
    }
    im.data = data;
    status = check_header(&im, err);
    if (status == TSM_OK) {
        ingest_info(&im.out, "source", "TraceSmith (SBT 0.1)", 20);
        ingest_info(&im.out, "clock", "unix", 4);
        read_sections(&im);
        ingest_buffer_finish(&im.out);
        status = im.out.status;
    }
    ingest_buffer_free(&im.out);
    free(im.devices.slots);
    free(im.strings);
    free(data);
    return status;
}
