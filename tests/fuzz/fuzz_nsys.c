/* Nsight Systems' SQLite export. Mutated bytes of a database hardly get past SQLite, so an even
 * first byte begins a recipe instead: rows of any values for the tables that the importer reads.
 * An odd one begins the database itself. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checker.h"
#include "ingest/nsys.h"

static const char *const other_tables[] = {
    "StringIds(\"id\" INTEGER PRIMARY KEY,\"value\",\"x\",\"y\",\"z\")",
    "CUDA_CALLCHAINS(\"id\",\"stackDepth\",\"symbol\",\"module\",\"originalIP\")",
    "OSRT_CALLCHAINS(\"id\",\"stackDepth\",\"symbol\",\"module\",\"originalIP\")",
    "CUPTI_ACTIVITY_KIND_CUDA_EVENT(\"globalPid\",\"correlationId\",\"contextId\",\"streamId\",\"eventId\")",
    "CUDA_GPU_MEMORY_USAGE_EVENTS(\"globalPid\",\"correlationId\",\"bytes\",\"address\",\"x\")",
    "PROCESSES(\"globalPid\",\"name\",\"x\",\"y\",\"z\")",
    "ThreadNames(\"globalTid\",\"nameId\",\"x\",\"y\",\"z\")",
    "TARGET_INFO_GPU(\"id\",\"name\",\"uuid\",\"totalMemory\",\"computeMajor\")",
    "TARGET_INFO_GPU_METRICS(\"typeId\",\"metricId\",\"metricName\",\"x\",\"y\")",
    "TARGET_INFO_CUDA_STREAM(\"processId\",\"contextId\",\"streamId\",\"priority\",\"x\")",
    "TARGET_INFO_SYSTEM_ENV(\"globalVid\",\"name\",\"value\",\"x\",\"y\")",
    "META_DATA_EXPORT(\"name\",\"value\",\"x\",\"y\",\"z\")",
    "TARGET_INFO_SESSION_START_TIME(\"utcEpochNs\",\"x\",\"y\",\"z\",\"u\")",
    "DIAGNOSTIC_EVENT(\"severity\",\"text\",\"x\",\"y\",\"z\")",
    "SCHED_EVENTS(\"start\",\"x\",\"y\",\"z\",\"u\")",
};
#define RECIPE_BYTES 600 /* what is longer only takes longer */

enum { OTHERS = sizeof other_tables / sizeof *other_tables, OTHER_COLUMNS = 5 };

typedef struct {
    const uint8_t *at, *end;
    tsm_sqlite sqlite;
    tsm_sqlite_db *db;
} recipe;

static uint8_t
take(recipe *r)
{
    return r->at < r->end ? *r->at++ : 0;
}

static uint64_t
take_bytes(recipe *r, int count)
{
    uint64_t value = 0;
    while (count-- > 0) {
        value = value << 8 | take(r);
    }
    return value;
}

/* One value as SQL: most are small numbers, so that ids and times meet. */
static size_t
write_value(recipe *r, char *to, size_t room)
{
    static const char *const words[] = { "Hostname", "EXPORT_PRODUCT_VERSION", "a [%]", "]", "cudaMalloc_v3020" };
    uint8_t kind = take(r);
    if (kind < 160) {
        return (size_t)snprintf(to, room, "%d", kind % 40);
    }
    switch (kind % 8) {
    case 0:
        return (size_t)snprintf(to, room, "NULL");
    case 1:
        return (size_t)snprintf(to, room, "%d.5", (int8_t)take(r));
    case 2:
        return (size_t)snprintf(to, room, "'%s'", words[take(r) % 5]);
    case 3:
        return (size_t)snprintf(to, room, "x'%02x%02x'", take(r), take(r));
    case 4:
        return (size_t)snprintf(to, room, "%" PRId64, (int64_t)take_bytes(r, 8));
    case 5:
        return (size_t)snprintf(to, room, "%d.0", (int8_t)take(r));
    case 6:
        return (size_t)snprintf(to, room, "%" PRIu64, (uint64_t)(1u + take(r) % 2) << 24 | take(r));
    default:
        return (size_t)snprintf(to, room, "-%d", take(r));
    }
}

static void
run(recipe *r, const char *sql)
{
    r->sqlite.exec(r->db, sql, NULL, NULL, NULL);
}

static const nsys_table *
table_at(unsigned number)
{
    const nsys_table *const lists[] = { nsys_work_tables, nsys_host_tables, nsys_nvtx_tables };
    for (size_t i = 0; i < 3; i++) {
        for (const nsys_table *table = lists[i]; table->name != NULL; table++) {
            if (number-- == 0) {
                return table;
            }
        }
    }
    return NULL;
}

/* A table with or without some of its columns. */
static void
create(recipe *r, const nsys_table *table, uint32_t lacks)
{
    char sql[2048];
    size_t used = (size_t)snprintf(sql, sizeof sql, "CREATE TABLE \"%s\" (unused", table->name);
    for (int i = 0; i < NSYS_COLUMNS && table->columns[i] != NULL; i++) {
        if ((lacks >> i & 1) == 0) {
            used += (size_t)snprintf(sql + used, sizeof sql - used, ",\"%s\"", table->columns[i]);
        }
    }
    snprintf(sql + used, sizeof sql - used, ")");
    run(r, sql);
}

static void
insert(recipe *r, const char *table, int columns)
{
    char sql[2048];
    size_t used = (size_t)snprintf(sql, sizeof sql, "INSERT INTO \"%s\" VALUES (", table);
    for (int i = 0; i < columns; i++) {
        used += (size_t)snprintf(sql + used, sizeof sql - used, i == 0 ? "" : ",");
        used += write_value(r, sql + used, sizeof sql - used);
    }
    snprintf(sql + used, sizeof sql - used, ")");
    run(r, sql);
}

static int
columns_of(const nsys_table *table, uint32_t lacks)
{
    int count = 1;
    for (int i = 0; i < NSYS_COLUMNS && table->columns[i] != NULL; i++) {
        count += (lacks >> i & 1) == 0;
    }
    return count;
}

static void
cook(recipe *r)
{
    uint32_t lacks[32] = { 0 };
    uint64_t made = 0;
    char name[64], sql[256];
    run(r, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 512; BEGIN");
    while (r->at < r->end) {
        unsigned which = take(r);
        const nsys_table *table = table_at(which % 32);
        if (table != NULL && (made >> (which % 32) & 1) == 0) {
            made |= (uint64_t)1 << (which % 32);
            lacks[which % 32] = which >= 192 ? (uint32_t)take_bytes(r, 4) : 0;
            create(r, table, lacks[which % 32]);
        } else if (table != NULL) {
            insert(r, table->name, columns_of(table, lacks[which % 32]));
        } else {
            const char *other = other_tables[which % OTHERS];
            snprintf(sql, sizeof sql, "CREATE TABLE IF NOT EXISTS %s", other);
            snprintf(name, sizeof name, "%.*s", (int)strcspn(other, "("), other);
            run(r, sql);
            insert(r, name, OTHER_COLUMNS);
        }
    }
    run(r, "COMMIT");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    tsm_error err;
    recipe r = { .at = data + 1, .end = data + (size < RECIPE_BYTES ? size : RECIPE_BYTES) };
    if (size == 0) {
        return 0;
    }
    snprintf(path, sizeof path, "/dev/shm/fuzz_nsys_%d.sqlite", (int)getpid());
    unlink(path);
    if (data[0] & 1) {
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(data + 1, 1, size - 1, file) != size - 1 || fclose(file) != 0) {
            abort();
        }
    } else {
        if (tsm_sqlite_load(&r.sqlite, &err) != TSM_OK || r.sqlite.open_v2(path, &r.db, 6, NULL) != TSM_SQLITE_OK) {
            abort();
        }
        cook(&r);
        r.sqlite.close(r.db);
    }
    check_import(path, TSM_INGEST_UNKNOWN);
    unlink(path);
    return 0;
}
