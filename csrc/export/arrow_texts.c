/* Dictionaries. One grows from batch to batch and is copied for a batch only when it has grown, so
 * that a trace of few names costs one copy in all. A large one begins anew, which keeps memory and
 * the cost of copying bounded for a trace in which every name is another. */
#include <stdatomic.h>
#include <stdlib.h>

#include "export/arrow.h"

struct arrow_shared {
    atomic_size_t references;
    size_t count;
    int32_t *offsets; /* behind which the bytes lie */
};

static void
drop(arrow_shared *shared)
{
    /* The last one to let go must see what all others have read. */
    if (shared != NULL && atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1) {
        free(shared->offsets);
        free(shared);
    }
}

void
arrow_texts_renew(arrow_texts *texts)
{
    if (tsm_cell_texts_renew(&texts->texts)) {
        drop(texts->shared);
        texts->shared = NULL;
    }
}

void
arrow_texts_free(arrow_texts *texts)
{
    drop(texts->shared);
    tsm_cell_texts_free(&texts->texts);
}

static arrow_shared *
copy(const tsm_cell_texts *texts)
{
    const size_t offset_bytes = (texts->count + 1) * sizeof(int32_t);
    arrow_shared *shared = malloc(sizeof *shared);
    int32_t *offsets = malloc(offset_bytes + texts->bytes.size);
    if (shared == NULL || offsets == NULL) {
        free(shared);
        free(offsets);
        return NULL;
    }
    atomic_init(&shared->references, 1);
    shared->count = texts->count;
    shared->offsets = offsets;
    offsets[0] = 0;
    if (texts->count > 0) {
        memcpy(offsets + 1, texts->ends, texts->count * sizeof *offsets);
    }
    if (texts->bytes.size > 0) {
        memcpy(offsets + texts->count + 1, texts->bytes.data, texts->bytes.size);
    }
    return shared;
}

typedef struct {
    const void *buffers[3];
    arrow_shared *shared;
} owner;

static void
release(struct ArrowArray *array)
{
    owner *o = array->private_data;
    drop(o->shared);
    free(o);
    array->release = NULL;
}

tsm_status
arrow_texts_array(arrow_texts *texts, struct ArrowArray *out)
{
    if (texts->shared == NULL || texts->shared->count != texts->texts.count) {
        arrow_shared *shared = copy(&texts->texts);
        if (shared == NULL) {
            return TSM_E_NOMEM;
        }
        drop(texts->shared);
        texts->shared = shared;
    }
    owner *o = malloc(sizeof *o);
    if (o == NULL) {
        return TSM_E_NOMEM;
    }
    arrow_shared *shared = texts->shared;
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed); /* ours keeps it meanwhile */
    *o = (owner){ { NULL, shared->offsets, shared->offsets + shared->count + 1 }, shared };
    *out = (struct ArrowArray){
        .length = (int64_t)shared->count, .n_buffers = 3, .buffers = o->buffers, .release = release, .private_data = o
    };
    return TSM_OK;
}
