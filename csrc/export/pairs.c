#include "export/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"

static size_t
bucket_of(const tsm_pairs *pairs, const tsm_event *event)
{
    return (size_t)tsm_hash_mix(event->correlation, event->stream) & (pairs->bucket_count - 1);
}

static bool
grow(tsm_pairs *pairs)
{
    const size_t wanted = pairs->bucket_count == 0 ? 64 : pairs->bucket_count * 2;
    uint32_t *buckets = calloc(wanted, sizeof *buckets);
    if (buckets == NULL) {
        return false;
    }
    uint32_t *old = pairs->buckets;
    const size_t old_count = pairs->bucket_count;
    pairs->buckets = buckets;
    pairs->bucket_count = wanted;
    for (size_t i = 0; i < old_count; i++) {
        for (uint32_t at = old[i], next; at != 0; at = next) {
            struct tsm_pair *pair = &pairs->pairs[at - 1];
            uint32_t *bucket = &buckets[bucket_of(pairs, &pair->begin)];
            next = pair->next;
            pair->next = *bucket;
            *bucket = at;
        }
    }
    free(old);
    return true;
}

tsm_status
tsm_pairs_begin(tsm_pairs *pairs, const tsm_event *event)
{
    if (pairs->count >= pairs->bucket_count && !grow(pairs)) {
        return TSM_E_NOMEM;
    }
    uint32_t at = pairs->free;
    if (at == 0) {
        if (pairs->count >= UINT32_MAX - 1 || !tsm_array_reserve(&pairs->pairs, &pairs->capacity, pairs->count + 1)) {
            return TSM_E_NOMEM;
        }
        at = (uint32_t)pairs->count + 1;
    } else {
        pairs->free = pairs->pairs[at - 1].next;
    }
    uint32_t *bucket = &pairs->buckets[bucket_of(pairs, event)];
    pairs->pairs[at - 1] = (struct tsm_pair){ *event, *bucket };
    *bucket = at;
    pairs->count++;
    return TSM_OK;
}

static void
unlink_pair(tsm_pairs *pairs, uint32_t *link)
{
    const uint32_t at = *link;
    *link = pairs->pairs[at - 1].next;
    pairs->pairs[at - 1].next = pairs->free;
    pairs->free = at;
    pairs->count--;
}

bool
tsm_pairs_end(tsm_pairs *pairs, const tsm_event *event, tsm_event *joined)
{
    uint32_t *link = pairs->count == 0 ? NULL : &pairs->buckets[bucket_of(pairs, event)];
    for (; link != NULL && *link != 0; link = &pairs->pairs[*link - 1].next) {
        const tsm_event *begin = &pairs->pairs[*link - 1].begin;
        if (begin->correlation == event->correlation && begin->stream == event->stream
            && begin->timestamp <= event->timestamp) {
            *joined = *begin;
            joined->duration = event->timestamp - begin->timestamp;
            unlink_pair(pairs, link);
            return true;
        }
    }
    return false;
}

bool
tsm_pairs_pop(tsm_pairs *pairs, tsm_event *begin)
{
    while (pairs->drained < pairs->bucket_count && pairs->buckets[pairs->drained] == 0) {
        pairs->drained++;
    }
    if (pairs->drained == pairs->bucket_count) {
        return false;
    }
    uint32_t *bucket = &pairs->buckets[pairs->drained];
    *begin = pairs->pairs[*bucket - 1].begin;
    unlink_pair(pairs, bucket);
    return true;
}

void
tsm_pairs_free(tsm_pairs *pairs)
{
    free(pairs->pairs);
    free(pairs->buckets);
}
