/* StringIds: all of it is read, because events name strings by number, and a question for each
 * would be a search each. Ours are made of those that events use. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "ingest/names.h"
#include "ingest/nsys.h"

bool
nsys_text_keep(nsys *im, nsys_text **list, size_t *count, size_t *capacity, int64_t id, tsm_text text)
{
    if (!tsm_array_reserve(list, capacity, *count + 1)
        || !tsm_array_reserve(&im->text_bytes, &im->text_capacity, im->text_size + text.size + 1)) {
        ingest_note(&im->buffer, TSM_E_NOMEM);
        return false;
    }
    (*list)[(*count)++] = (nsys_text){ .id = id, .offset = im->text_size, .size = (uint32_t)text.size };
    memcpy(im->text_bytes + im->text_size, text.data, text.size);
    im->text_size += text.size;
    return true;
}

static void
keep_text(nsys *im, tsm_sqlite_statement *row)
{
    int64_t id = nsys_integer(im, row, 0);
    nsys_text_keep(im, &im->texts, &im->text_count, &im->texts_capacity, id, nsys_string(im, row, 1));
}

static int
by_id(const void *a, const void *b)
{
    const nsys_text *left = a, *right = b;
    int order = (left->id > right->id) - (left->id < right->id);
    /* Of two with one id, the first. */
    return order != 0 ? order : (left->offset > right->offset) - (left->offset < right->offset);
}

bool
nsys_texts_read(nsys *im)
{
    static const char *const columns[] = { "id", "value" };
    if (!nsys_each(im, "StringIds", columns, 2, "", keep_text)) {
        return false;
    }
    for (size_t i = 1; i < im->text_count; i++) {
        if (im->texts[i].id <= im->texts[i - 1].id) {
            qsort(im->texts, im->text_count, sizeof *im->texts, by_id);
            break;
        }
    }
    return true;
}

/* Events share a name that they should not if a missing string had none: it is called by its id. */
static nsys_text *
missing_text(nsys *im, int64_t id)
{
    char name[40];
    uint32_t *row = nsys_key(im, NSYS_KEY_TEXT, id, 0, 0);
    if (row == NULL) {
        return NULL;
    }
    if (*row == 0) {
        int size = snprintf(name, sizeof name, "(string %" PRId64 ")", id);
        *row = ingest_string(&im->buffer, name, (size_t)size);
        ingest_count(im->buffer.report, "StringIds", "names that are not there: called by their number", 1);
    }
    im->missing_text = (nsys_text){ .id = id, .row = *row, .call_row = *row };
    return &im->missing_text;
}

nsys_text *
nsys_text_of(nsys *im, int64_t id)
{
    /* Most often they are numbered from 0 without a gap. */
    if (id >= 0 && (uint64_t)id < im->text_count && im->texts[id].id == id) {
        return &im->texts[id];
    }
    size_t low = 0, high = im->text_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (im->texts[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < im->text_count && im->texts[low].id == id ? &im->texts[low] : missing_text(im, id);
}

static tsm_text
borrow(const nsys *im, const nsys_text *text)
{
    return (tsm_text){ text->size == 0 ? "" : im->text_bytes + text->offset, text->size };
}

uint32_t
nsys_text_string(nsys *im, nsys_text *text)
{
    if (text != NULL && text->row == 0 && text->size > 0) {
        text->row = ingest_string(&im->buffer, im->text_bytes + text->offset, text->size);
    }
    return text == NULL ? 0 : text->row;
}

uint32_t
nsys_text_row(nsys *im, int64_t id)
{
    return nsys_text_string(im, nsys_text_of(im, id));
}

/* 'cudaLaunchKernel_v7000' is cudaLaunchKernel, as in nsys's own reports; cuMemAlloc_v2 is not
 * cuMemAlloc. */
static tsm_text
without_version(tsm_text name)
{
    size_t end = name.size;
    while (end > 0 && name.data[end - 1] >= '0' && name.data[end - 1] <= '9') {
        end--;
    }
    size_t digits = name.size - end;
    if (digits >= 4 && digits <= 5 && end > 2 && memcmp(name.data + end - 2, "_v", 2) == 0) {
        name.size = end - 2;
    }
    return name;
}

uint32_t
nsys_call_row(nsys *im, int64_t id, uint16_t *type)
{
    nsys_text *text = nsys_text_of(im, id);
    if (text == NULL) {
        return 0;
    }
    if (text->call_type == 0) {
        tsm_text name = without_version(borrow(im, text));
        text->call_type = (uint16_t)(ingest_call_type(name) + 1);
        text->call_row = text->call_row != 0 ? text->call_row : ingest_string(&im->buffer, name.data, name.size);
    }
    *type = (uint16_t)(text->call_type - 1);
    return text->call_row;
}

uint32_t
nsys_kernel_row(nsys *im, int64_t id, uint16_t *type)
{
    nsys_text *text = nsys_text_of(im, id);
    if (text == NULL) {
        return 0;
    }
    if (text->kernel_type == 0) {
        text->kernel_type = (uint16_t)(ingest_kernel_type(borrow(im, text)) + 1);
    }
    *type = (uint16_t)(text->kernel_type - 1);
    return nsys_text_string(im, text);
}
