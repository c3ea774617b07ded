/* Any bytes as somebody else's trace. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "checker.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 6 && memcmp(data, "SQLite", 6) == 0) {
        return 0; /* fuzz_nsys */
    }
    check_import_of(data, size, TSM_INGEST_UNKNOWN);
    return 0;
}
