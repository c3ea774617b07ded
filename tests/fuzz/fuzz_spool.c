/* The spool reader on arbitrary bytes: what a profiled program may have scribbled. */
#include <stdlib.h>
#include <string.h>

#include "ring/layout.h"
#include "ring/ring.h"

/* A spool small enough for a fuzzer to get right: the input overlays a sound header. */
enum { RECORDS_HERE = 4, CHUNKS_HERE = 4, CHUNK_BYTES_HERE = 256, LOG_HERE = 1024, BYTES = 16384 };

static void
make_sound(unsigned char *data)
{
    spool_header *h = (spool_header *)data;
    memset(data, 0, BYTES);
    *h = (spool_header){
        .magic = SPOOL_MAGIC,
        .abi = RING_ABI,
        .bytes = BYTES,
        .record_count = RECORDS_HERE,
        .chunk_count = CHUNKS_HERE,
        .small_count = 2,
        .small_bytes = CHUNK_BYTES_HERE,
        .large_bytes = 2 * CHUNK_BYTES_HERE,
        .records_at = SPOOL_HEADER_BYTES,
        .states_at = 6144,
        .log_at = 8192,
        .log_bytes = LOG_HERE,
        .small_at = 10240,
        .large_at = 12288,
    };
}

static uint64_t
read_everything(tsm_spool *spool)
{
    const tsm_spool_chunk *chunks;
    tsm_definition definition;
    tsm_spool_thread thread;
    bool damaged;
    uint64_t sum = tsm_spool_id(spool) + tsm_spool_pid(spool) + strlen(tsm_spool_parent(spool));
    for (int round = 0; round < 2; round++) {
        size_t count = tsm_spool_claim(spool, true, &chunks);
        for (size_t i = 0; i < count; i++) {
            for (uint32_t k = 0; k < chunks[i].committed; k++) {
                sum += chunks[i].slots[k].type;
            }
        }
        for (size_t i = 0; i < count; i++) {
            uint32_t index = chunks[i].index;
            if (chunks[i].sealed) {
                tsm_spool_release(spool, index);
            } else {
                tsm_spool_unclaim(spool, index);
            }
        }
        while (tsm_spool_next_definition(spool, &definition, &damaged)) {
            sum += definition.size;
        }
        for (size_t i = 0; i < tsm_spool_thread_count(spool); i++) {
            tsm_spool_thread_at(spool, i, &thread);
            tsm_spool_thread_release(spool, i);
            sum += thread.serial;
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *bytes = aligned_alloc(64, BYTES);
    tsm_spool *spool;
    if (bytes == NULL || size < 3) {
        free(bytes);
        return 0;
    }
    make_sound(bytes);
    /* Where the input begins decides what it scribbles on: header, records, states, log or chunks. */
    size_t at = ((size_t)data[0] << 8 | data[1]) % BYTES;
    memcpy(bytes + at, data + 2, size - 2 < BYTES - at ? size - 2 : BYTES - at);
    if (tsm_spool_open_memory(bytes, BYTES, &spool, NULL) == TSM_OK) {
        static volatile uint64_t sink;
        sink = read_everything(spool);
        (void)sink;
        tsm_spool_close(spool);
    }
    free(bytes);
    return 0;
}
