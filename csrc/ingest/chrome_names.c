#include <string.h>

#include "base/array.h"
#include "ingest/chrome.h"
#include "ingest/names.h"

static chrome_name *
entry_of(chrome_importer *im, uint32_t name)
{
    size_t before = im->name_capacity;
    if (!tsm_array_reserve(&im->names, &im->name_capacity, (size_t)name + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return NULL;
    }
    if (im->name_capacity > before) {
        memset(im->names + before, 0, (im->name_capacity - before) * sizeof *im->names);
    }
    return &im->names[name];
}

/* Each name is looked at once. */
#define REMEMBERED(function, member)                                                     \
    uint16_t chrome_##function(chrome_importer *im, uint32_t name)                       \
    {                                                                                    \
        chrome_name *entry = entry_of(im, name);                                         \
        if (entry == NULL) {                                                             \
            return TSM_EVENT_CUSTOM;                                                     \
        }                                                                                \
        if (entry->member == 0) {                                                        \
            tsm_text text = tsm_tables_borrow_text(im->tables, TSM_TABLE_STRINGS, name); \
            entry->member = (uint16_t)(ingest_##function(text) + 1);                     \
        }                                                                                \
        return (uint16_t)(entry->member - 1);                                            \
    }

REMEMBERED(call_type, call)
REMEMBERED(kernel_type, kernel)
REMEMBERED(copy_type, copy)
REMEMBERED(wait_type, wait)
