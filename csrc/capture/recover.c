/* After a crash: the drain, run on what the dead left behind. */
#include "capture/capture.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capture/drain.h"
#include "capture/folder.h"

/* Where the file says its events were spooled; empty when it says nothing. */
static tsm_status
read_facts(const char *path, char *spool, size_t size, bool *complete, tsm_error *err)
{
    tsm_sbt_reader *reader;
    tsm_sbt_info info;
    tsm_status status = tsm_sbt_reader_open(path, &reader, err);
    if (status != TSM_OK) {
        return status;
    }
    tsm_sbt_reader_info(reader, &info);
    tsm_text text = tsm_tables_borrow_info(tsm_sbt_reader_tables(reader), "spool");
    snprintf(spool, size, "%.*s", (int)(text.size < size ? text.size : size - 1), text.data);
    *complete = info.complete;
    tsm_sbt_reader_close(reader);
    return TSM_OK;
}

/* The run of that folder if it is this file's; NULL when there is none left. */
static tsm_status
open_run(const char *spool, const char *path, tsm_run **out, tsm_error *err)
{
    char absolute[PATH_MAX];
    *out = NULL;
    if (spool[0] == 0 || access(spool, F_OK) != 0) {
        return TSM_OK;
    }
    tsm_status status = tsm_folder_absolute(path, absolute, sizeof absolute, err);
    if (status == TSM_OK) {
        status = tsm_run_open(spool, out, err);
    }
    if (status == TSM_OK && strcmp(tsm_run_output(*out), absolute) != 0) {
        tsm_fail(err, TSM_E_STATE, 0, "the spool in %s belongs to %s: repair that file, or move this one there", spool,
                 tsm_run_output(*out));
        tsm_run_close(*out);
        *out = NULL;
        return TSM_E_STATE;
    }
    return status;
}

static tsm_status
drain_into(tsm_run *run, tsm_sbt_writer *writer, tsm_recovery *report, tsm_error *err)
{
    tsm_drain *drain;
    uint64_t before = tsm_sbt_writer_events(writer);
    tsm_status status = tsm_drain_create(run, writer, &drain, err);
    if (status != TSM_OK) {
        return status;
    }
    tsm_drain_finish(drain);
    status = tsm_drain_output_error(drain, err);
    tsm_drain_last_stats(drain, &report->stats);
    report->drained = true;
    report->recovered = tsm_sbt_writer_events(writer) - before;
    tsm_drain_destroy(drain);
    return status;
}

static tsm_status
recover_run(const char *path, tsm_run *run, tsm_recovery *report, tsm_error *err)
{
    tsm_sbt_writer *writer;
    tsm_status status = tsm_run_own(run, err);
    if (status == TSM_OK) {
        /* Programs that outlived their profiler are told to stop emitting. */
        tsm_run_set_state(run, TSM_RUN_STOPPED);
        status = tsm_sbt_writer_resume(path, &writer, err);
    }
    if (status != TSM_OK) {
        return status;
    }
    status = drain_into(run, writer, report, err);
    if (status != TSM_OK) {
        tsm_sbt_writer_destroy(writer);
        return status;
    }
    return tsm_sbt_writer_close(writer, err);
}

tsm_status
tsm_recover(const char *path, tsm_recovery *report, tsm_error *err)
{
    char spool[3072];
    bool complete;
    tsm_run *run;
    *report = (tsm_recovery){ 0 };
    tsm_status status = read_facts(path, spool, sizeof spool, &complete, err);
    if (status == TSM_E_TRUNCATED || status == TSM_E_CORRUPT) {
        /* A finished file that was damaged later has no spool any more. */
        return tsm_sbt_repair(path, err);
    }
    if (status == TSM_OK && !complete) {
        status = open_run(spool, path, &run, err);
        if (status == TSM_OK && run == NULL) {
            return tsm_sbt_repair(path, err);
        }
        if (status == TSM_OK) {
            status = recover_run(path, run, report, err);
            tsm_run_close(run);
            if (status == TSM_OK) {
                tsm_folder_remove(spool);
            }
        }
    }
    return status;
}

void
tsm_find_orphans(const char *directory, tsm_orphan_found *found, void *context)
{
    char prefix[64], path[PATH_MAX];
    const char *place = directory == NULL ? TSM_SPOOL_PLACE : directory;
    snprintf(prefix, sizeof prefix, TSM_SPOOL_PREFIX "%u-", (unsigned)geteuid());
    DIR *folder = opendir(place);
    if (folder == NULL) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        const char *name = entry->d_name + (entry->d_name[0] == '.');
        tsm_run *run;
        if (strncmp(name, prefix, strlen(prefix)) != 0
            || snprintf(path, sizeof path, "%s/%s", place, entry->d_name) >= (int)sizeof path
            || tsm_run_open(path, &run, NULL) != TSM_OK) {
            continue;
        }
        if (!tsm_run_owner_alive(run)) {
            found(context, path, tsm_run_output(run));
        }
        tsm_run_close(run);
    }
    closedir(folder);
}
