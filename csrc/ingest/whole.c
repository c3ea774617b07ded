#include "ingest/whole.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/host.h"

static tsm_status
append(uint8_t **data, size_t *size, size_t *capacity, const char *at, size_t more, tsm_error *err)
{
    if (more == 0) {
        return TSM_OK;
    }
    bool grows = *size + more > *capacity;
    if ((grows && *size + more > tsm_host_memory_bytes() / 2) || !tsm_array_reserve(data, capacity, *size + more)) {
        return tsm_fail(err, TSM_E_NOMEM, *size, "this format is read as a whole, and there is no memory for it");
    }
    memcpy(*data + *size, at, more);
    *size += more;
    return TSM_OK;
}

tsm_status
ingest_read_whole(tsm_input *input, uint8_t **data, size_t *size, tsm_error *err)
{
    uint8_t *bytes = NULL;
    size_t count = 0, capacity = 0;
    tsm_status status = TSM_OK;
    while (status == TSM_OK) {
        const char *begin = tsm_input_begin(input), *end = tsm_input_end(input);
        status = append(&bytes, &count, &capacity, begin, (size_t)(end - begin), err);
        status = status == TSM_OK ? tsm_input_more(input, end, err) : status;
    }
    if (status != TSM_E_END) {
        free(bytes);
        return status;
    }
    *data = bytes;
    *size = count;
    return TSM_OK;
}
