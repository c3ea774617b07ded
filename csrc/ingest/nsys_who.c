/* Processes, threads, devices and streams. A globalTid is a machine's, a process's and a thread's
 * number in 16, 24 and 24 bits. Rows are made when an event first belongs to one: a report lists
 * every process of the machine. */
#include <string.h>

#include "ingest/nsys.h"

uint32_t *
nsys_key(nsys *im, unsigned kind, int64_t a, int64_t b, int64_t c)
{
    const uint64_t key[4] = { (uint64_t)a, (uint64_t)b, (uint64_t)c, kind };
    uint32_t *value = ingest_keys_at(&im->keys, key);
    if (value == NULL) {
        ingest_note(&im->buffer, TSM_E_NOMEM);
    }
    return value;
}

uint32_t
nsys_find(nsys *im, unsigned kind, int64_t a, int64_t b, int64_t c)
{
    const uint64_t key[4] = { (uint64_t)a, (uint64_t)b, (uint64_t)c, kind };
    return ingest_keys_find(&im->keys, key);
}

/* The row for a key, which make makes the first time. */
static uint32_t
row_for(nsys *im, unsigned kind, int64_t a, int64_t b, int64_t c, unsigned table, const uint64_t *values)
{
    uint32_t row = ingest_row(&im->buffer, table, values);
    uint32_t *slot = nsys_key(im, kind, a, b, c);
    if (slot != NULL) {
        *slot = row;
    }
    return row;
}

static int64_t
process_number(int64_t global)
{
    return (int64_t)((uint64_t)global >> 24 & 0xffffff);
}

uint32_t
nsys_process_row(nsys *im, int64_t global)
{
    int64_t process = (int64_t)((uint64_t)global & ~(uint64_t)0xffffff);
    uint32_t row = nsys_find(im, NSYS_KEY_PROCESS, process, 0, 0);
    if (row != 0) {
        return row;
    }
    int64_t machine = (int64_t)((uint64_t)global >> 48);
    uint32_t name = nsys_find(im, NSYS_KEY_PROCESS_NAME, process, 0, 0);
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_PROCESS_HOST] = nsys_find(im, NSYS_KEY_HOST, machine, 0, 0),
        [TSM_PROCESS_PID] = (uint64_t)process_number(global),
        [TSM_PROCESS_NAME] = name == 0 ? 0 : nsys_text_string(im, &im->process_names[name - 1]),
    };
    return row_for(im, NSYS_KEY_PROCESS, process, 0, 0, TSM_TABLE_PROCESSES, values);
}

uint32_t
nsys_thread_row(nsys *im, int64_t global)
{
    if (global == im->last_thread && im->last_thread_row != 0) {
        return im->last_thread_row;
    }
    uint32_t row = nsys_find(im, NSYS_KEY_THREAD, global, 0, 0);
    if (row == 0) {
        uint32_t name = nsys_find(im, NSYS_KEY_THREAD_NAME, global, 0, 0);
        uint64_t values[TSM_COLUMNS_MAX] = {
            [TSM_THREAD_PROCESS] = nsys_process_row(im, global),
            [TSM_THREAD_TID] = (uint64_t)global & 0xffffff,
            [TSM_THREAD_NAME] = name == 0 ? 0 : nsys_text_row(im, (int64_t)name - 1),
        };
        row = row_for(im, NSYS_KEY_THREAD, global, 0, 0, TSM_TABLE_THREADS, values);
    }
    im->last_thread = global;
    im->last_thread_row = row;
    return row;
}

uint32_t
nsys_device_row(nsys *im, int64_t ordinal)
{
    uint32_t row = nsys_find(im, NSYS_KEY_DEVICE, ordinal, 0, 0);
    if (row != 0) {
        return row;
    }
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_DEVICE_ORDINAL] = (uint64_t)ordinal, [TSM_DEVICE_VENDOR] = ingest_word(&im->buffer, "NVIDIA")
    };
    return row_for(im, NSYS_KEY_DEVICE, ordinal, 0, 0, TSM_TABLE_DEVICES, values);
}

uint32_t
nsys_stream_row(nsys *im, int64_t process, int64_t device, int64_t context, int64_t stream)
{
    const int64_t key[4] = { process, device, context, stream };
    if (im->last_stream_row != 0 && memcmp(key, im->last_stream, sizeof key) == 0) {
        return im->last_stream_row;
    }
    uint64_t words[4];
    memcpy(words, key, sizeof key);
    uint32_t *slot = ingest_keys_at(&im->streams, words), row = slot == NULL ? 0 : *slot;
    if (slot == NULL) {
        ingest_note(&im->buffer, TSM_E_NOMEM);
    } else if (row == 0) {
        uint64_t values[TSM_COLUMNS_MAX] = {
            [TSM_STREAM_PROCESS] = process == 0 ? 0 : nsys_process_row(im, process),
            [TSM_STREAM_DEVICE] = nsys_device_row(im, device),
            [TSM_STREAM_CONTEXT] = (uint64_t)context,
            [TSM_STREAM_RAW_ID] = (uint64_t)stream,
        };
        /* Noted plus 1, as an unsigned number of 32 bits. */
        uint32_t priority = nsys_find(im, NSYS_KEY_PRIORITY, process_number(process), context, stream);
        values[TSM_STREAM_PRIORITY] = priority == 0 ? 0 : (uint64_t)(int64_t)(int32_t)(priority - 1);
        *slot = row = ingest_row(&im->buffer, TSM_TABLE_STREAMS, values);
    }
    memcpy(im->last_stream, key, sizeof key);
    im->last_stream_row = row;
    return row;
}
