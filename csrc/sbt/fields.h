/* Where the columns of a block lie in an event. */
#ifndef TSM_SBT_FIELDS_H
#define TSM_SBT_FIELDS_H

#include <stddef.h>

#include "trace/event.h"

enum {
#define X(type, field, format, text) SBT_FIELD_##field,
    TSM_EVENT_FIELDS(X)
#undef X
        SBT_FIELDS,
};

static const struct {
    uint8_t offset, bytes;
} sbt_fields[SBT_FIELDS] = {
#define X(type, field, format, text) { offsetof(tsm_event, field), sizeof(type) },
    TSM_EVENT_FIELDS(X)
#undef X
};

#endif
