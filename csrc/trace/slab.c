#include "trace/slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/array.h"

#define LINE      ((size_t)64)
#define SMALLEST  (4 * LINE)
#define HUGE_PAGE ((size_t)2 << 20)

static size_t
size_of_class(unsigned size_class)
{
    return LINE * (4 + size_class % 4) << size_class / 4;
}

/* The smallest class that holds bytes; TSM_SLAB_CLASSES when none does. */
static unsigned
class_of_size(size_t bytes)
{
    size_t lines = bytes <= SMALLEST ? 4 : (bytes - 1) / LINE + 1;
    unsigned power = 61 - (unsigned)__builtin_clzll(lines); /* lines / 2^power: 4, 5, 6 or 7 and a bit */
    unsigned size_class = 4 * power + (unsigned)(lines >> power) - 4;
    size_class += lines > lines >> power << power;
    return size_class < TSM_SLAB_CLASSES ? size_class : TSM_SLAB_CLASSES;
}

/* Small as long as little was taken, so that a short trace does not pay for a huge page. */
static size_t
choose_slab_size(const tsm_slabs *slabs, size_t needed)
{
    size_t wish = slabs->taken_bytes < HUGE_PAGE / 2 ? slabs->taken_bytes : HUGE_PAGE;
    size_t size = needed > wish ? needed : wish, unit = size > HUGE_PAGE / 2 ? HUGE_PAGE : LINE;
    return (size + unit - 1) / unit * unit;
}

static bool
open_slab(tsm_slabs *slabs, size_t needed)
{
    size_t size = choose_slab_size(slabs, needed);
    bool huge = size % HUGE_PAGE == 0;
    if (!tsm_array_reserve(&slabs->slabs, &slabs->slabs_capacity, slabs->slab_count + 1)) {
        return false;
    }
    void *slab = aligned_alloc(huge ? HUGE_PAGE : LINE, size);
    if (slab == NULL) {
        return false;
    }
#ifdef MADV_HUGEPAGE
    if (huge) {
        madvise(slab, size, MADV_HUGEPAGE); /* a wish; nothing depends on it */
    }
#endif
    slabs->slabs[slabs->slab_count++] = slab;
    slabs->open = slab;
    slabs->open_bytes = size;
    return true;
}

bool
tsm_slabs_take(tsm_slabs *slabs, size_t bytes, tsm_piece *out)
{
    unsigned wanted = class_of_size(bytes);
    for (unsigned i = wanted; i < TSM_SLAB_CLASSES; i++) {
        void *vacant = slabs->vacant[i];
        if (vacant != NULL) {
            slabs->vacant[i] = *(void **)vacant;
            *out = (tsm_piece){ vacant, i };
            return true;
        }
    }
    if (wanted == TSM_SLAB_CLASSES) {
        return false;
    }
    size_t size = size_of_class(wanted);
    if (slabs->open_bytes < size && !open_slab(slabs, size)) {
        return false;
    }
    *out = (tsm_piece){ slabs->open, wanted };
    slabs->open += size;
    slabs->open_bytes -= size;
    slabs->taken_bytes += size;
    return true;
}

void
tsm_slabs_give(tsm_slabs *slabs, tsm_piece piece)
{
    if (piece.memory != NULL) {
        *(void **)piece.memory = slabs->vacant[piece.size_class];
        slabs->vacant[piece.size_class] = piece.memory;
    }
}

void
tsm_slabs_free(tsm_slabs *slabs)
{
    for (size_t i = 0; i < slabs->slab_count; i++) {
        free(slabs->slabs[i]);
    }
    free(slabs->slabs);
}
