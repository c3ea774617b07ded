/* Any bytes as an XRay log. */
#define _GNU_SOURCE
#include "ingest_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ingest_bytes(data, size, TSM_INGEST_XRAY);
    return 0;
}
