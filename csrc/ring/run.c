/* The run: a folder and its control page, seen by the reader. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/layout.h"
#include "ring/ring.h"

#define CALIBRATION_NS 2000000

struct tsm_run {
    run_page *page;
    char directory[3072];
    char (*seen)[NAME_BYTES]; /* spools that scan has handed out or refused */
    size_t seen_count, seen_capacity;
};

/* Two points far enough apart for a first rate; the reader's later points refine it. */
static void
calibrate(run_page *page)
{
    page->uses_ticks = tsm_clock_ticks_usable();
    tsm_clock_take_point(&page->first_point);
    while (tsm_clock_ns() < page->first_point.monotonic_ns + CALIBRATION_NS) {
    }
    tsm_clock_take_point(&page->second_point);
}

static tsm_status
run_alloc(const char *directory, tsm_run **out, tsm_error *err)
{
    tsm_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a run");
    }
    if (snprintf(run->directory, sizeof run->directory, "%s", directory) >= (int)sizeof run->directory) {
        free(run);
        return tsm_fail(err, TSM_E_ARG, 0, "the path of the spool's folder is too long");
    }
    *out = run;
    return TSM_OK;
}

tsm_status
tsm_run_create(const tsm_run_config *config, tsm_run **out, tsm_error *err)
{
    tsm_run *run;
    tsm_status status = run_alloc(config->directory, &run, err);
    if (status != TSM_OK) {
        return status;
    }
    if (mkdir(config->directory, 0700) != 0) {
        status = tsm_fail_errno(err, TSM_E_IO, "cannot make the spool's folder %s", config->directory);
        goto fail;
    }
    run->page = ring_make_file(config->directory, "run", RUN_PAGE_BYTES);
    if (run->page == NULL || !ring_reserve(config->directory, "run", run->page, 0, RUN_PAGE_BYTES)) {
        status = tsm_fail_errno(err, TSM_E_IO, "cannot make the run's control page in %s", config->directory);
        rmdir(config->directory);
        goto fail;
    }
    run_page *page = run->page;
    page->abi = RING_ABI;
    page->run_id = ring_random();
    page->buffer_bytes = config->buffer_bytes;
    page->block_limit_ms = config->block_limit_ms;
    atomic_init(&page->policy, config->policy);
    snprintf(page->output, sizeof page->output, "%s", config->output);
    calibrate(page);
    page->magic = RUN_MAGIC;
    *out = run;
    return TSM_OK;
fail:
    tsm_run_close(run);
    return status;
}

tsm_status
tsm_run_open(const char *directory, tsm_run **out, tsm_error *err)
{
    tsm_run *run;
    uint64_t bytes;
    tsm_status status = run_alloc(directory, &run, err);
    if (status != TSM_OK) {
        return status;
    }
    run->page = ring_map_file(directory, "run", &bytes);
    if (run->page == NULL) {
        status = tsm_fail_errno(err, TSM_E_IO, "cannot open the run in %s", directory);
    } else if (bytes != RUN_PAGE_BYTES || run->page->magic != RUN_MAGIC) {
        status = tsm_fail(err, TSM_E_FORMAT, 0, "%s/run is not a run's control page", directory);
        if (bytes != RUN_PAGE_BYTES) {
            munmap(run->page, bytes);
            run->page = NULL;
        }
    } else if (run->page->abi != RING_ABI) {
        status = tsm_fail(err, TSM_E_UNSUPPORTED, 0, "the run in %s was made by another version (%u, this is %u)",
                          directory, run->page->abi, RING_ABI);
    }
    if (status != TSM_OK) {
        tsm_run_close(run);
        return status;
    }
    *out = run;
    return TSM_OK;
}

void
tsm_run_close(tsm_run *run)
{
    if (run == NULL) {
        return;
    }
    if (run->page != NULL) {
        if (atomic_load_explicit(&run->page->owner_pid, memory_order_relaxed) == (uint32_t)getpid()) {
            atomic_store_explicit(&run->page->owner_pid, 0, memory_order_relaxed);
        }
        munmap(run->page, RUN_PAGE_BYTES);
    }
    free(run->seen);
    free(run);
}

void
tsm_run_set_state(tsm_run *run, tsm_run_state state)
{
    /* Sequentially consistent: detach and the reader rely on it being seen before 'busy' is read. */
    atomic_store(&run->page->state, (uint32_t)state);
}

const char *
tsm_run_directory(const tsm_run *run)
{
    return run->directory;
}

const char *
tsm_run_output(const tsm_run *run)
{
    run->page->output[sizeof run->page->output - 1] = 0;
    return run->page->output;
}

bool
tsm_run_uses_ticks(const tsm_run *run)
{
    return run->page->uses_ticks != 0;
}

bool
tsm_run_fell_back(const tsm_run *run)
{
    return atomic_load_explicit(&run->page->fell_back, memory_order_relaxed) != 0;
}

bool
tsm_run_owner_alive(const tsm_run *run)
{
    uint32_t pid = atomic_load(&run->page->owner_pid);
    return pid != 0 && ring_process_start(pid) == atomic_load(&run->page->owner_start);
}

tsm_status
tsm_run_own(tsm_run *run, tsm_error *err)
{
    uint32_t mine = (uint32_t)getpid();
    uint32_t other = atomic_load(&run->page->owner_pid);
    if (other != 0 && tsm_run_owner_alive(run)) {
        return tsm_fail(err, TSM_E_BUSY, 0, "process %u is still reading this run", other);
    }
    if (!atomic_compare_exchange_strong(&run->page->owner_pid, &other, mine)) {
        return tsm_fail(err, TSM_E_BUSY, 0, "process %u just began to read this run", other);
    }
    atomic_store(&run->page->owner_start, ring_process_start(mine));
    tsm_run_beat(run);
    return TSM_OK;
}

void
tsm_run_beat(tsm_run *run)
{
    atomic_store_explicit(&run->page->heartbeat_ns, tsm_clock_ns(), memory_order_relaxed);
}

void
tsm_run_wait(tsm_run *run, uint32_t timeout_ms)
{
    run_page *page = run->page;
    uint32_t bell = atomic_load(&page->bell);
    /* Sequentially consistent against seal(), which rings after sealing only if it sees this. */
    atomic_store(&page->sleeping, 1);
    if (atomic_load(&page->bell) == bell) {
        ring_futex_wait(&page->bell, bell, timeout_ms);
    }
    atomic_store(&page->sleeping, 0);
}

void
tsm_run_ring_bell(tsm_run *run)
{
    atomic_fetch_add(&run->page->bell, 1);
    ring_futex_wake(&run->page->bell);
}

void
tsm_run_announce_space(tsm_run *run)
{
    atomic_fetch_add(&run->page->space, 1);
    if (atomic_load(&run->page->waiters) != 0) {
        ring_futex_wake(&run->page->space);
    }
}

bool
tsm_run_wants_space(const tsm_run *run)
{
    return atomic_load_explicit(&run->page->waiters, memory_order_relaxed) != 0;
}

uint64_t
tsm_run_buffer_bytes(const tsm_run *run)
{
    return run->page->buffer_bytes;
}

void
tsm_run_clock_points(const tsm_run *run, tsm_clock_point *first, tsm_clock_point *latest)
{
    const run_page *page = run->page;
    uint32_t sequence = atomic_load_explicit(&page->latest_sequence, memory_order_acquire);
    *first = page->first_point;
    *latest = sequence == 0 ? page->second_point : page->latest[sequence % 2];
}

void
tsm_run_publish_clock(tsm_run *run, const tsm_clock_point *point)
{
    run_page *page = run->page;
    uint32_t next = atomic_load_explicit(&page->latest_sequence, memory_order_relaxed) + 1;
    next += next == 0 ? 2 : 0;
    page->latest[next % 2] = *point;
    /* Release: whoever reads the sequence finds the point whole; the older one stays intact. */
    atomic_store_explicit(&page->latest_sequence, next, memory_order_release);
}

static bool
was_seen(const tsm_run *run, const char *name)
{
    for (size_t i = 0; i < run->seen_count; i++) {
        if (strcmp(run->seen[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static bool
remember(tsm_run *run, const char *name)
{
    if (run->seen_count == run->seen_capacity) {
        size_t grown = run->seen_capacity == 0 ? 16 : run->seen_capacity * 2;
        void *moved = realloc(run->seen, grown * sizeof *run->seen);
        if (moved == NULL) {
            return false;
        }
        run->seen = moved;
        run->seen_capacity = grown;
    }
    memcpy(run->seen[run->seen_count++], name, strlen(name) + 1); /* is_spool_name bounds it */
    return true;
}

static bool
is_spool_name(const char *name)
{
    size_t length = strlen(name);
    return length > 6 && length < NAME_BYTES && strcmp(name + length - 6, ".spool") == 0;
}

tsm_status
tsm_run_scan(tsm_run *run, tsm_spool_found *found, void *context, tsm_error *err)
{
    /* A process counts up before it makes its spool, so most scans need not look at all. */
    uint32_t made = atomic_load(&run->page->spool_count);
    if (made == run->seen_count) {
        return TSM_OK;
    }
    DIR *folder = opendir(run->directory);
    if (folder == NULL) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot read the spool's folder %s", run->directory);
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        tsm_spool *spool = NULL;
        tsm_error why = { 0 };
        if (!is_spool_name(entry->d_name) || was_seen(run, entry->d_name)) {
            continue;
        }
        tsm_status status = tsm_spool_open(run->directory, entry->d_name, &spool, &why);
        if (status == TSM_E_TRUNCATED) {
            continue; /* being made at this moment */
        }
        if (!remember(run, entry->d_name)) {
            tsm_spool_close(spool);
            break;
        }
        found(context, spool, entry->d_name, &why);
    }
    closedir(folder);
    return TSM_OK;
}
