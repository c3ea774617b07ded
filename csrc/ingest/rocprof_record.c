#include "ingest/rocprof.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NESTED 6 /* objects in objects: a record's are two deep */

bool
rocprof_key_is(const json_text *key, const char *name)
{
    return key->size == strlen(name) && memcmp(key->data, name, key->size) == 0;
}

typedef enum { FIELD_U64, FIELD_U32, FIELD_BEGIN, FIELD_END } field_kind;

/* A member of a record, by its name and that of the object that it lies in. */
typedef struct {
    const char *parent, *key;
    field_kind kind;
    size_t offset;
} field;

#define AT(member) offsetof(rocprof_record, member)
static const field common[] = {
    { "", "start_timestamp", FIELD_BEGIN, AT(begin) },
    { "", "end_timestamp", FIELD_END, AT(end) },
    { "", "thread_id", FIELD_U64, AT(thread) },
    { "correlation_id", "internal", FIELD_U64, AT(correlation) },
    { "", "kind", FIELD_U64, AT(kind) },
    { "", "operation", FIELD_U64, AT(operation) },
    { "agent_id", "handle", FIELD_U64, AT(agent) },
    { "queue_id", "handle", FIELD_U64, AT(queue) },
    { "stream_id", "handle", FIELD_U64, AT(stream) },
    { NULL, NULL, FIELD_U64, 0 },
};
static const field kernels[] = {
    { "dispatch_info", "kernel_id", FIELD_U64, AT(kernel) },
    { "dispatch_info", "private_segment_size", FIELD_U64, AT(private_bytes) },
    { "dispatch_info", "group_segment_size", FIELD_U64, AT(group_bytes) },
    { "grid_size", "x", FIELD_U32, AT(grid[0]) },
    { "grid_size", "y", FIELD_U32, AT(grid[1]) },
    { "grid_size", "z", FIELD_U32, AT(grid[2]) },
    { "workgroup_size", "x", FIELD_U32, AT(workgroup[0]) },
    { "workgroup_size", "y", FIELD_U32, AT(workgroup[1]) },
    { "workgroup_size", "z", FIELD_U32, AT(workgroup[2]) },
    { NULL, NULL, FIELD_U64, 0 },
};
static const field memory[] = {
    { "src_agent_id", "handle", FIELD_U64, AT(source) },
    { "dst_agent_id", "handle", FIELD_U64, AT(destination) },
    { "", "bytes", FIELD_U64, AT(bytes) },
    { "", "allocation_size", FIELD_U64, AT(bytes) },
    { "", "address", FIELD_U64, AT(address) },
    { "address", "value", FIELD_U64, AT(address) },
    { "address", "handle", FIELD_U64, AT(address) },
    { NULL, NULL, FIELD_U64, 0 },
};

static const field *
find_field(const field *list, const json_text *parent, const json_text *key)
{
    for (; list->key != NULL; list++) {
        if (rocprof_key_is(key, list->key) && rocprof_key_is(parent, list->parent)) {
            return list;
        }
    }
    return NULL;
}

/* Integers beyond 63 bits are handles and addresses, and those may be texts in hexadecimal. */
static bool
number_of(const json_value *value, uint64_t *number)
{
    char text[32];
    char *end;
    if (value->kind == JSON_INTEGER) {
        *number = (uint64_t)value->integer;
        return true;
    }
    if ((value->kind != JSON_STRING && value->kind != JSON_NUMBER) || value->text.size >= sizeof text
        || value->text.size == 0 || value->text.data[0] < '0' || value->text.data[0] > '9') {
        return false;
    }
    memcpy(text, value->text.data, value->text.size);
    text[value->text.size] = 0;
    *number = strtoull(text, &end, 0);
    return *end == 0;
}

static void
keep_field(rocprof_record *record, const field *known, const json_value *value)
{
    char *at = (char *)record + known->offset;
    uint64_t number;
    if (!number_of(value, &number) || (known->kind == FIELD_U32 && number > UINT32_MAX)) {
        record->has |= ROCPROF_HAS_WRONG;
        return;
    }
    if (known->kind == FIELD_U32) {
        uint32_t half = (uint32_t)number;
        memcpy(at, &half, sizeof half);
        return;
    }
    memcpy(at, &number, sizeof number);
    record->has |= known->kind == FIELD_BEGIN ? ROCPROF_HAS_BEGIN : known->kind == FIELD_END ? ROCPROF_HAS_END : 0u;
}

static bool
read_members(json_cursor *c, rocprof_record *record, const json_text *parent, unsigned depth)
{
    const field *own = record->section == ROCPROF_KERNEL ? kernels : memory;
    bool more = true;
    if (!json_take(c, '{')) {
        return json_fail(c, "a record in braces");
    }
    if (json_take(c, '}')) {
        return true;
    }
    while (more) {
        json_text key;
        json_value value;
        if (!json_key(c, &key)) {
            return false;
        }
        json_skip_space(c);
        if (*c->at == '{' && depth < NESTED) {
            if (!read_members(c, record, &key, depth + 1)) {
                return false;
            }
        } else if (!json_read(c, &value)) {
            return false;
        } else {
            const field *known = find_field(common, parent, &key);
            known = known != NULL ? known : find_field(own, parent, &key);
            if (known != NULL) {
                keep_field(record, known, &value);
            }
        }
        if (!json_next(c, '}', &more)) {
            return false;
        }
    }
    return true;
}

bool
rocprof_record_read(json_cursor *c, rocprof_record *record)
{
    const json_text none = { "", 0, false };
    return read_members(c, record, &none, 0);
}

/* ---- Values that were read whole ------------------------------------------------------------- */

void
rocprof_members(rocprof *im, const json_value *object, rocprof_member *keep, void *context)
{
    json_cursor c = { .at = object->text.data, .end = object->text.data + object->text.size };
    bool more = object->kind == JSON_OBJECT && json_take(&c, '{') && !json_take(&c, '}');
    while (more && im->buffer.status == TSM_OK) {
        json_text key;
        json_value value;
        json_skip_space(&c);
        if (*c.at != '"' || !json_string(&c, &key) || !json_take(&c, ':') || !json_read(&c, &value)) {
            return;
        }
        keep(im, &key, &value, context);
        if (!json_next(&c, '}', &more)) {
            return;
        }
    }
}

void
rocprof_items(rocprof *im, const json_value *list, rocprof_item *keep, void *context)
{
    json_cursor c = { .at = list->text.data, .end = list->text.data + list->text.size };
    bool more = list->kind == JSON_LIST && json_take(&c, '[') && !json_take(&c, ']');
    while (more && im->buffer.status == TSM_OK) {
        json_value value;
        if (!json_read(&c, &value)) {
            return;
        }
        keep(im, &value, context);
        if (!json_next(&c, ']', &more)) {
            return;
        }
    }
}
