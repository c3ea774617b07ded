/* Any bytes as a file of the earlier TraceSmith. */
#define _GNU_SOURCE
#include "ingest_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ingest_bytes(data, size, TSM_INGEST_SBT01);
    return 0;
}
