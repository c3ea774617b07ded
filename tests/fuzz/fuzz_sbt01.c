/* Any bytes as a file of the earlier TraceSmith. */
#define _GNU_SOURCE
#include "checker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_import_of(data, size, TSM_INGEST_SBT01);
    return 0;
}
