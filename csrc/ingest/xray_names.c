/* A function id is a place in the binary's instrumentation map, which tells an address, which the
 * symbol table names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/xray.h"

static uint32_t
look_up(xray_importer *im, uint32_t function)
{
    tsm_symbol symbol;
    char number[32];
    if (function - 1 < im->function_count && tsm_elf_find(im->binary, im->functions[function - 1], &symbol)) {
        char *plain = tsm_demangle(symbol.name);
        uint32_t row = ingest_word(&im->out, plain != NULL ? plain : symbol.name);
        free(plain);
        return row;
    }
    im->nameless++;
    snprintf(number, sizeof number, "function %" PRId32, (int32_t)function);
    return ingest_word(&im->out, number);
}

uint32_t
xray_name_of(xray_importer *im, uint32_t function)
{
    uint32_t *row = ingest_keys_at(&im->keys, (uint64_t[4]){ XRAY_KEY_NAME, function });
    if (row == NULL) {
        ingest_note(&im->out, TSM_E_NOMEM);
        return 0;
    }
    if (*row == 0) {
        *row = look_up(im, function);
    }
    return *row;
}
