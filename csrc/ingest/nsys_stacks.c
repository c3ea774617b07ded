/* Call chains: rows of a chain's number, a depth and a function, 0 being the innermost. Chains of
 * ours begin at the outermost, so a chain's rows are put in that order first. */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "ingest/nsys.h"

typedef struct {
    int64_t id, depth, symbol, module;
    uint64_t address;
} frame;

typedef struct {
    frame *items;
    size_t count, capacity;
} frames;

enum { CHAIN_ID, CHAIN_DEPTH, CHAIN_SYMBOL, CHAIN_MODULE, CHAIN_ADDRESS, CHAIN_COLUMNS };

static int
by_chain(const void *a, const void *b)
{
    const frame *left = a, *right = b;
    int order = (left->id > right->id) - (left->id < right->id);
    return order != 0 ? order : (left->depth < right->depth) - (left->depth > right->depth);
}

static bool
read_frames(nsys *im, const char *table, frames *all)
{
    static const char *const columns[CHAIN_COLUMNS] = { "id", "stackDepth", "symbol", "module", "originalIP" };
    tsm_sqlite_statement *row = NULL;
    uint32_t found;
    int code = TSM_SQLITE_DONE;
    if (!nsys_select(im, table, columns, CHAIN_COLUMNS, "", &row, &found)) {
        return false;
    }
    while (row != NULL && im->buffer.status == TSM_OK && (code = im->sqlite.step(row)) == TSM_SQLITE_ROW) {
        if (!tsm_array_reserve(&all->items, &all->capacity, all->count + 1)) {
            ingest_note(&im->buffer, TSM_E_NOMEM);
            break;
        }
        all->items[all->count++] = (frame){
            .id = nsys_integer(im, row, CHAIN_ID),
            .depth = nsys_integer(im, row, CHAIN_DEPTH),
            .symbol = nsys_integer(im, row, CHAIN_SYMBOL),
            .module = nsys_integer(im, row, CHAIN_MODULE),
            .address = (uint64_t)nsys_integer(im, row, CHAIN_ADDRESS),
        };
    }
    if (im->buffer.status == TSM_OK && code != TSM_SQLITE_DONE) {
        nsys_fail(im, code, table);
    }
    im->sqlite.finalize(row);
    return im->buffer.status == TSM_OK;
}

static uint32_t
push(nsys *im, uint32_t parent, const frame *item)
{
    uint64_t function[TSM_COLUMNS_MAX] = {
        [TSM_FRAME_FUNCTION] = nsys_text_row(im, item->symbol),
        [TSM_FRAME_FILE] = nsys_text_row(im, item->module),
        [TSM_FRAME_ADDRESS] = item->address,
        [TSM_FRAME_KIND] = TSM_FRAME_NATIVE,
    };
    uint64_t values[TSM_COLUMNS_MAX] = {
        [TSM_STACK_PARENT] = parent, [TSM_STACK_FRAME] = ingest_row(&im->buffer, TSM_TABLE_FRAMES, function)
    };
    return ingest_row(&im->buffer, TSM_TABLE_STACKS, values);
}

static bool
read_chains(nsys *im, const char *table, unsigned kind)
{
    frames all = { 0 };
    bool fine = read_frames(im, table, &all);
    if (fine && all.count > 0) {
        qsort(all.items, all.count, sizeof *all.items, by_chain);
    }
    uint32_t stack = 0, chains = 0;
    for (size_t i = 0; fine && i < all.count && im->buffer.status == TSM_OK; i++) {
        const frame *item = &all.items[i];
        stack = push(im, i > 0 && item[-1].id == item->id ? stack : 0, item);
        if (i + 1 == all.count || item[1].id != item->id) {
            uint32_t *slot = nsys_key(im, kind, item->id, 0, 0);
            if (slot != NULL) {
                *slot = stack;
            }
            chains++;
        }
    }
    if (chains > 0) {
        ingest_count(im->buffer.report, table, NULL, chains);
    }
    free(all.items);
    return im->buffer.status == TSM_OK;
}

bool
nsys_stacks_read(nsys *im)
{
    return read_chains(im, "CUDA_CALLCHAINS", NSYS_KEY_CUDA_STACK)
           && read_chains(im, "OSRT_CALLCHAINS", NSYS_KEY_OS_STACK);
}
