/* The basic log: records of 32 bytes behind the header, of all threads mixed, in each thread's
 * order.
 *
 *   0      2     3      4          8       16     20     24 ... 32
 *   | 0    | cpu | kind | function | ticks | tid  | pid  |     |      pid from version 3 on
 *   | 1    | -          | function | tid | pid | argument |    |      behind an entry */
#include <string.h>

#include "base/bytes.h"
#include "ingest/xray.h"

enum { RECORD_BYTES = 32 };
enum { RECORD_FUNCTION = 0, RECORD_ARGUMENT = 1 };

static uint32_t
pid_of(const xray_importer *im, uint32_t pid)
{
    return im->version >= 3 ? pid : 0;
}

static void
read_function(xray_importer *im, const uint8_t *at)
{
    uint8_t cpu = at[2], kind = at[3];
    if (kind > XRAY_ENTER_ARGUMENT) {
        ingest_count(im->out.report, "record", "of an unknown kind", 1);
        return;
    }
    uint32_t thread = xray_thread_of(im, pid_of(im, tsm_load_u32(at + 20)), tsm_load_u32(at + 16));
    xray_function(im, thread, kind, tsm_load_u32(at + 4), cpu, tsm_load_u64(at + 8));
}

static void
read_argument(xray_importer *im, const uint8_t *at)
{
    uint32_t thread = xray_thread_of(im, pid_of(im, tsm_load_u32(at + 12)), tsm_load_u32(at + 8));
    xray_argument(im, thread, tsm_load_u32(at + 4), tsm_load_u64(at + 16));
}

static void
read_record(xray_importer *im, const uint8_t *at)
{
    switch (tsm_load_u32(at) & 0xffff) {
    case RECORD_FUNCTION:
        read_function(im, at);
        break;
    case RECORD_ARGUMENT:
        read_argument(im, at);
        break;
    default:
        ingest_count(im->out.report, "record", "of an unknown kind", 1);
    }
}

tsm_status
xray_read_basic(xray_importer *im, tsm_input *input)
{
    const char *at = tsm_input_begin(input) + XRAY_HEADER_BYTES;
    tsm_status status = TSM_OK;
    while (status == TSM_OK && im->out.status == TSM_OK) {
        for (; tsm_input_end(input) - at >= RECORD_BYTES && im->out.status == TSM_OK; at += RECORD_BYTES) {
            read_record(im, (const uint8_t *)at);
        }
        status = tsm_input_more(input, at, im->out.err);
        at = tsm_input_begin(input);
    }
    im->out.report->truncated = status == TSM_E_END && at < tsm_input_end(input);
    return status == TSM_E_END ? TSM_OK : status;
}
