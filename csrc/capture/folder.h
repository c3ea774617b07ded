/* The folder of a run: where it goes, and its removal. Private to capture/. */
#ifndef TSM_CAPTURE_FOLDER_H
#define TSM_CAPTURE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define TSM_SPOOL_PLACE  "/dev/shm"
#define TSM_SPOOL_PREFIX "tracesmith-"

/* path as seen from the root, so that it means the same to whoever reads it later. */
TSM_NODISCARD tsm_status tsm_folder_absolute(const char *path, char *out, size_t size, tsm_error *err);

/* A name for a new run's folder: below parent, or (parent NULL) in shared memory if four times
 * budget is free there, else beside output. */
TSM_NODISCARD tsm_status tsm_folder_choose(const char *parent, const char *output, uint64_t budget, char *out,
                                           size_t size, tsm_error *err);

/* Removes a run's folder and the files that the ring makes in it, nothing else. */
void tsm_folder_remove(const char *directory);

#endif
