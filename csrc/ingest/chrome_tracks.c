/* Who an event belongs to. Rows are made when events are flushed, because names come late. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "ingest/chrome.h"

enum { KEY_TRACK, KEY_PROCESS, KEY_DEVICE };

static struct chrome_slot *
slot_of(struct chrome_slot *slots, uint32_t count, const uint64_t key[4])
{
    uint64_t at = tsm_hash_bytes(key, 4 * sizeof *key);
    struct chrome_slot *slot;
    while ((slot = &slots[at & (count - 1)])->used && memcmp(slot->key, key, sizeof slot->key) != 0) {
        at++;
    }
    return slot;
}

/* The value for key; where there is none, next is taken and *added is true. */
static uint32_t
map_find(chrome_importer *im, const uint64_t key[4], uint32_t next, bool *added)
{
    chrome_map *map = &im->map;
    if (map->count * 2 >= map->slot_count) {
        uint32_t wanted = map->slot_count == 0 ? 64 : map->slot_count * 2;
        struct chrome_slot *slots = calloc(wanted, sizeof *slots);
        if (slots == NULL) {
            chrome_note(im, TSM_E_NOMEM);
            return 0;
        }
        for (uint32_t i = 0; i < map->slot_count; i++) {
            if (map->slots[i].used) {
                *slot_of(slots, wanted, map->slots[i].key) = map->slots[i];
            }
        }
        free(map->slots);
        map->slots = slots;
        map->slot_count = wanted;
    }
    struct chrome_slot *slot = slot_of(map->slots, map->slot_count, key);
    *added = !slot->used;
    if (*added) {
        memcpy(slot->key, key, sizeof slot->key);
        slot->used = 1;
        slot->value = next;
        map->count++;
    }
    return slot->value;
}

/* The number that ends a text, as in 'stream 7'. */
static bool
trailing_number(const json_text *text, size_t *digits, int64_t *number)
{
    const char *end = text->data + text->size, *at = end;
    while (at > text->data && end - at < 18 && at[-1] >= '0' && at[-1] <= '9') {
        at--;
    }
    *digits = (size_t)(end - at);
    *number = 0;
    for (; at < end; at++) {
        *number = *number * 10 + (*at - '0');
    }
    return *digits > 0;
}

/* A pid or tid that is a text has number 0, unless it is nothing but a number or, for a tid, ends
 * in one. */
static chrome_id
id_of(chrome_importer *im, const json_value *value, bool is_tid)
{
    chrome_id id = { 0, 0 };
    size_t digits;
    int64_t number;
    if (value->kind == JSON_INTEGER) {
        id.number = value->integer;
        return id;
    }
    bool numbered = value->kind == JSON_STRING && trailing_number(&value->text, &digits, &number);
    if (numbered && (is_tid || digits == value->text.size)) {
        id.number = number;
        if (digits == value->text.size) {
            return id;
        }
    }
    id.text = chrome_plain(im, value);
    return id;
}

static uint32_t
process_of(chrome_importer *im, chrome_id pid)
{
    bool added = false;
    uint64_t key[4] = { (uint64_t)pid.number, pid.text, 0, KEY_PROCESS };
    if (!tsm_array_reserve(&im->processes, &im->process_capacity, im->process_count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return 0;
    }
    uint32_t found = map_find(im, key, (uint32_t)im->process_count, &added);
    if (added) {
        im->processes[im->process_count++] = (chrome_process){ .id = pid, .name = pid.text };
    }
    return found;
}

static uint32_t
find_track(chrome_importer *im, const chrome_event *event)
{
    static const json_value none = { .kind = JSON_INTEGER };
    bool added = false;
    chrome_id pid = id_of(im, event->has & HAS_PID ? &event->pid : &none, false);
    chrome_id tid = id_of(im, event->has & HAS_TID ? &event->tid : &none, true);
    uint32_t process = process_of(im, pid);
    uint64_t key[4] = { process, (uint64_t)tid.number, tid.text, KEY_TRACK };
    if (!tsm_array_reserve(&im->tracks, &im->track_capacity, im->track_count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return 0;
    }
    uint32_t found = map_find(im, key, (uint32_t)im->track_count, &added);
    if (added) {
        im->tracks[im->track_count++] = (chrome_track){ .tid = tid, .process = process, .name = tid.text };
    }
    return found;
}

static bool
same_text(const json_text *a, const json_text *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

/* Neighbours are mostly of one thread: their pid and tid are compared as they are written. */
bool
chrome_track_of(chrome_importer *im, const chrome_event *event, uint32_t *track)
{
    const json_text *pid = &event->pid.text, *tid = &event->tid.text;
    const unsigned both = HAS_PID | HAS_TID;
    bool numbers = (event->has & both) == both && event->pid.kind == JSON_INTEGER && event->tid.kind == JSON_INTEGER;
    if (numbers && same_text(pid, &im->last_pid) && same_text(tid, &im->last_tid)) {
        *track = im->last_track;
        return true;
    }
    *track = find_track(im, event);
    if (numbers && im->status == TSM_OK) {
        char *at = im->last_ids;
        memcpy(at, pid->data, pid->size);
        memcpy(at + 32, tid->data, tid->size);
        im->last_pid = (json_text){ at, pid->size, false };
        im->last_tid = (json_text){ at + 32, tid->size, false };
        im->last_track = *track;
    }
    return im->status == TSM_OK;
}

static bool
named(const chrome_event *event, const char *name)
{
    const json_text *text = &event->name.text;
    return event->has & HAS_NAME && text->size == strlen(name) && memcmp(text->data, name, text->size) == 0;
}

void
chrome_track_name(chrome_importer *im, const chrome_event *event)
{
    uint32_t track;
    bool process = named(event, "process_name");
    if (!process && !named(event, "thread_name")) {
        return;
    }
    for (size_t i = 0; i < event->args.count; i++) {
        const chrome_arg *arg = &event->args.items[i];
        if (im->arguments.words[arg->key].code != ARGUMENT_NAME || !chrome_track_of(im, event, &track)) {
            continue;
        }
        chrome_process *owner = &im->processes[im->tracks[track].process];
        uint32_t name = chrome_plain(im, &arg->value);
        if (!process) {
            im->tracks[track].name = name;
        } else if (owner->id.text == 0 && owner->id.number != 0) { /* 0 and a name would mean a text */
            owner->name = name;
        }
    }
}

/* ---- Devices, of which the file may tell more than the number -------------------------------- */

static chrome_device *
device_of(chrome_importer *im, uint64_t ordinal)
{
    bool added = false;
    uint64_t key[4] = { ordinal, 0, 0, KEY_DEVICE };
    if (!tsm_array_reserve(&im->devices, &im->device_capacity, im->device_count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return NULL;
    }
    uint32_t found = map_find(im, key, (uint32_t)im->device_count, &added);
    if (added) {
        im->devices[im->device_count++] = (chrome_device){ .ordinal = ordinal };
    }
    return &im->devices[found];
}

static int
device_column(const json_text *key)
{
    static const struct {
        const char *name;
        int column;
    } known[] = {
        { "id", TSM_DEVICE_ORDINAL },
        { "name", TSM_DEVICE_NAME },
        { "totalGlobalMem", TSM_DEVICE_MEMORY_BYTES },
        { "computeMajor", TSM_DEVICE_COMPUTE_MAJOR },
        { "computeMinor", TSM_DEVICE_COMPUTE_MINOR },
        { "numSms", TSM_DEVICE_MULTIPROCESSORS },
        { "maxThreadsPerMultiprocessor", TSM_DEVICE_THREADS_PER_MULTIPROCESSOR },
        { "warpSize", TSM_DEVICE_WARP_SIZE },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == key->size && memcmp(known[i].name, key->data, key->size) == 0) {
            return known[i].column;
        }
    }
    return -1;
}

static uint32_t
vendor_of(chrome_importer *im, tsm_text name)
{
    static const char *const vendors[] = { "NVIDIA", "AMD", "Intel", "Tesla" };
    for (size_t i = 0; i < sizeof vendors / sizeof *vendors; i++) {
        size_t size = strlen(vendors[i]);
        if (name.size >= size && memcmp(name.data, vendors[i], size) == 0) {
            return i == 3 ? chrome_string(im, "NVIDIA", 6) : chrome_string(im, vendors[i], size);
        }
    }
    return 0;
}

/* One object of deviceProperties. False: it is not as expected; what came before stays. */
static bool
read_device(chrome_importer *im, json_cursor *c)
{
    uint64_t columns[TSM_COLUMNS_MAX] = { 0 };
    bool more = true;
    json_text key;
    json_value value;
    if (!json_take(c, '{') || json_take(c, '}')) {
        return false;
    }
    while (more) {
        json_skip_space(c);
        if (*c->at != '"' || !json_string(c, &key) || !json_take(c, ':') || !json_read(c, &value)
            || !json_next(c, '}', &more)) {
            return false;
        }
        int column = device_column(&key);
        if (column == TSM_DEVICE_NAME) {
            columns[column] = chrome_plain(im, &value);
        } else if (column >= 0 && value.kind == JSON_INTEGER) {
            columns[column] = (uint64_t)value.integer;
        }
    }
    chrome_device *device = device_of(im, columns[TSM_DEVICE_ORDINAL]);
    if (device != NULL) {
        tsm_text name = tsm_tables_borrow_text(im->tables, TSM_TABLE_STRINGS, (uint32_t)columns[TSM_DEVICE_NAME]);
        columns[TSM_DEVICE_VENDOR] = vendor_of(im, name);
        memcpy(device->columns, columns, sizeof columns);
    }
    return device != NULL;
}

void
chrome_devices_read(chrome_importer *im, const json_text *list)
{
    json_cursor c = { .at = list->data, .end = list->data + list->size };
    bool more = json_take(&c, '[') && !json_take(&c, ']');
    while (more && read_device(im, &c) && json_next(&c, ']', &more)) {
    }
}

/* ---- Rows ------------------------------------------------------------------------------------ */

uint32_t
chrome_device_row(chrome_importer *im, uint64_t ordinal)
{
    chrome_device *device = device_of(im, ordinal);
    if (device != NULL && device->row == 0) {
        device->columns[TSM_DEVICE_ORDINAL] = ordinal;
        chrome_note(im, tsm_tables_add(im->tables, TSM_TABLE_DEVICES, device->columns, &device->row));
    }
    return device == NULL ? 0 : device->row;
}

static uint32_t
process_row(chrome_importer *im, uint32_t index)
{
    chrome_process *process = &im->processes[index];
    if (process->row == 0) {
        uint64_t values[] = { [TSM_PROCESS_PID] = (uint64_t)process->id.number, [TSM_PROCESS_NAME] = process->name };
        chrome_note(im, tsm_tables_add(im->tables, TSM_TABLE_PROCESSES, values, &process->row));
    }
    return process->row;
}

uint32_t
chrome_thread_row(chrome_importer *im, uint32_t index)
{
    chrome_track *track = &im->tracks[index];
    if (track->thread_row == 0) {
        uint64_t values[] = { [TSM_THREAD_PROCESS] = process_row(im, track->process),
                              [TSM_THREAD_TID] = (uint64_t)track->tid.number,
                              [TSM_THREAD_NAME] = track->name };
        chrome_note(im, tsm_tables_add(im->tables, TSM_TABLE_THREADS, values, &track->thread_row));
    }
    return track->thread_row;
}

uint32_t
chrome_stream_row(chrome_importer *im, uint32_t index, uint32_t process)
{
    chrome_track *track = &im->tracks[index];
    if (track->stream_row == 0) {
        uint64_t values[] = {
            [TSM_STREAM_PROCESS] = process,
            [TSM_STREAM_DEVICE] = chrome_device_row(im, (uint64_t)im->processes[track->process].id.number),
            [TSM_STREAM_CONTEXT] = track->context,
            [TSM_STREAM_RAW_ID] = (uint64_t)track->tid.number,
            [TSM_STREAM_NAME] = track->name,
            [TSM_STREAM_PRIORITY] = 0,
        };
        chrome_note(im, tsm_tables_add(im->tables, TSM_TABLE_STREAMS, values, &track->stream_row));
    }
    return track->stream_row;
}
