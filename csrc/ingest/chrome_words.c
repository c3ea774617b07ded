#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "ingest/chrome.h"

#define WORDS_MAX 65536u

const chrome_known chrome_known_arguments[] = {
    { "correlation", ARGUMENT_CORRELATION },
    { "External id", ARGUMENT_EXTERNAL_ID },
    { "external id", ARGUMENT_EXTERNAL_ID_2021 },
    { "device", ARGUMENT_DEVICE },
    { "stream", ARGUMENT_STREAM },
    { "context", ARGUMENT_CONTEXT },
    { "grid", ARGUMENT_GRID },
    { "block", ARGUMENT_BLOCK },
    { "shared memory", ARGUMENT_SHARED },
    { "registers per thread", ARGUMENT_REGISTERS },
    { "bytes", ARGUMENT_BYTES },
    { "memory bandwidth (GB/s)", ARGUMENT_BANDWIDTH },
    { "Bytes", ARGUMENT_DELTA },
    { "Addr", ARGUMENT_ADDRESS },
    { "Total Allocated", ARGUMENT_IN_USE },
    { "wait_on_cuda_event_id", ARGUMENT_WAIT_EVENT },
    { "blocks per SM", ARGUMENT_CONSTANT },
    { "warps per SM", ARGUMENT_CONSTANT },
    { "est. achieved occupancy %", ARGUMENT_CONSTANT },
    { "priority", ARGUMENT_CONSTANT },
    { "channel", ARGUMENT_CONSTANT },
    { "queued", ARGUMENT_QUEUED },
    { "graph id", ARGUMENT_GRAPH },
    { "graph node id", ARGUMENT_GRAPH },
    { "Device Id", ARGUMENT_DEVICE_ID },
    { "Device Type", ARGUMENT_DEVICE_TYPE },
    { "cuda_sync_kind", ARGUMENT_SYNC_KIND },
    { "Group size", ARGUMENT_GROUP_SIZE },
    { "In msg nelems", ARGUMENT_ELEMENTS_IN },
    { "Out msg nelems", ARGUMENT_ELEMENTS_OUT },
    { "dtype", ARGUMENT_ELEMENT_TYPE },
    { "Seq", ARGUMENT_SEQUENCE },
    { "name", ARGUMENT_NAME },
    { NULL, 0 },
};

const chrome_known chrome_known_categories[] = {
    { "", CATEGORY_NONE },
    { "cpu_op", CATEGORY_OPERATOR },
    { "Operator", CATEGORY_OPERATOR },
    { "cuda_runtime", CATEGORY_RUNTIME },
    { "cuda_driver", CATEGORY_RUNTIME },
    { "Runtime", CATEGORY_RUNTIME },
    { "xpu_runtime", CATEGORY_RUNTIME },
    { "xpu_driver", CATEGORY_RUNTIME },
    { "privateuse1_runtime", CATEGORY_RUNTIME },
    { "privateuse1_driver", CATEGORY_RUNTIME },
    { "kernel", CATEGORY_KERNEL },
    { "Kernel", CATEGORY_KERNEL },
    { "gpu_memcpy", CATEGORY_COPY },
    { "Memcpy", CATEGORY_COPY },
    { "gpu_memset", CATEGORY_SET },
    { "Memset", CATEGORY_SET },
    { "user_annotation", CATEGORY_RANGE },
    { "gpu_user_annotation", CATEGORY_DEVICE_RANGE },
    { "python_function", CATEGORY_PYTHON },
    { "overhead", CATEGORY_OVERHEAD },
    { "cuda_sync", CATEGORY_SYNC },
    { "cpu_instant_event", CATEGORY_INSTANT },
    { "Trace", CATEGORY_SPAN },
    { "ac2g", CATEGORY_ARROW },
    { "async", CATEGORY_ARROW },
    { NULL, 0 },
};

const char *
chrome_argument_text(unsigned code)
{
    const chrome_known *known = chrome_known_arguments;
    while (known->code != code) {
        known++;
    }
    return known->text;
}

static uint16_t
code_of(const chrome_known *known, const char *data, size_t size)
{
    for (; known->text != NULL; known++) {
        if (strlen(known->text) == size && memcmp(known->text, data, size) == 0) {
            return known->code;
        }
    }
    return 0;
}

static bool
is_word(const chrome_word *word, const char *data, size_t size)
{
    return word->size == size && memcmp(word->data, data, size) == 0;
}

static bool
grow_slots(chrome_words *words)
{
    uint32_t wanted = words->slot_count == 0 ? 256 : words->slot_count * 2;
    uint32_t *slots = calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < words->count; i++) {
        uint64_t at = tsm_hash_bytes(words->words[i].data, words->words[i].size);
        while (slots[at & (wanted - 1)] != 0) {
            at++;
        }
        slots[at & (wanted - 1)] = i + 1;
    }
    free(words->slots);
    words->slots = slots;
    words->slot_count = wanted;
    return true;
}

static uint32_t
add_word(chrome_importer *im, chrome_words *words, const char *data, size_t size)
{
    char *copy = malloc(size + 1); /* with a quote behind it */
    if (copy == NULL || !tsm_array_reserve(&words->words, &words->capacity, words->count + 1)
        || (words->count * 2 >= words->slot_count && !grow_slots(words))) {
        free(copy);
        chrome_note(im, TSM_E_NOMEM);
        return UINT32_MAX;
    }
    memcpy(copy, data, size);
    copy[size] = '"';
    chrome_word *word = &words->words[words->count];
    *word = (chrome_word){ .data = copy, .size = size, .code = code_of(words->known, data, size) };
    uint64_t at = tsm_hash_bytes(data, size);
    while (words->slots[at & (words->slot_count - 1)] != 0) {
        at++;
    }
    words->slots[at & (words->slot_count - 1)] = (uint32_t)words->count + 1;
    json_value text = { .kind = JSON_STRING, .text = { copy, size, memchr(copy, '\\', size) != NULL } };
    word->row = chrome_plain(im, &text);
    return (uint32_t)words->count++;
}

static uint32_t
look_up(chrome_importer *im, chrome_words *words, const char *data, size_t size)
{
    if (words->slot_count > 0) {
        uint64_t at = tsm_hash_bytes(data, size);
        uint32_t slot;
        while ((slot = words->slots[at & (words->slot_count - 1)]) != 0) {
            if (is_word(&words->words[slot - 1], data, size)) {
                return slot - 1;
            }
            at++;
        }
    }
    return add_word(im, words, data, size);
}

/* Events look like the ones before them: what followed the last word then will do so again. */
uint32_t
chrome_words_guess(chrome_words *words, const char *at, const char *end)
{
    uint32_t guess = words->last < words->count ? words->words[words->last].next : UINT32_MAX;
    const chrome_word *word = guess < words->count ? &words->words[guess] : NULL;
    if (word == NULL || (size_t)(end - at) <= word->size || memcmp(at, word->data, word->size + 1) != 0) {
        return UINT32_MAX;
    }
    words->last = guess;
    return guess;
}

uint32_t
chrome_words_find(chrome_importer *im, chrome_words *words, const char *data, size_t size)
{
    uint32_t last = words->last;
    uint32_t found =
        last < words->count && is_word(&words->words[last], data, size) ? last : look_up(im, words, data, size);
    if (found != UINT32_MAX) {
        if (last < words->count) {
            words->words[last].next = found;
        }
        words->last = found;
    }
    return found;
}

void
chrome_words_free(chrome_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        free(words->words[i].data);
    }
    free(words->words);
    free(words->slots);
    *words = (chrome_words){ .known = words->known };
}

void
chrome_words_trim(chrome_words *words)
{
    if (words->count > WORDS_MAX) {
        chrome_words_free(words);
    }
}
