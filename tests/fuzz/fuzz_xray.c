/* Any bytes as an XRay log. */
#define _GNU_SOURCE
#include "checker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_import_of(data, size, TSM_INGEST_XRAY);
    return 0;
}
