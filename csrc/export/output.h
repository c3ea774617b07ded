/* Where an export goes: a buffered file, gzipped if asked, or memory. Errors are remembered and
 * told once, at the end, so that writers need not look after every byte. Private to export/. */
#ifndef TSM_EXPORT_OUTPUT_H
#define TSM_EXPORT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

typedef struct tsm_output tsm_output;

/* Creates path, or replaces it; '-' is standard output. Written beside itself and renamed when
 * closed, so that a failed export leaves nothing behind. */
TSM_NODISCARD tsm_status tsm_output_open(const char *path, bool gzip, tsm_output **out, tsm_error *err);
/* Into memory, which tsm_output_take hands over. */
TSM_NODISCARD tsm_status tsm_output_open_memory(tsm_output **out);

/* At least bytes (up to 64 KiB) to write to directly; then say how many were used. Never NULL:
 * after a failure it is scratch. */
char *tsm_output_room(tsm_output *output, size_t bytes);
void tsm_output_advance(tsm_output *output, size_t bytes);
void tsm_output_put(tsm_output *output, const void *data, size_t bytes);

uint64_t tsm_output_bytes(const tsm_output *output); /* before gzip */
bool tsm_output_failed(const tsm_output *output);

/* Ends the file; the output is gone afterwards, even on failure. */
TSM_NODISCARD tsm_status tsm_output_close(tsm_output *output, tsm_error *err);
/* Gives it up: nothing is left behind. NULL is allowed. */
void tsm_output_abandon(tsm_output *output);
/* The bytes so far of an output to memory; the caller frees them. The output is gone. */
TSM_NODISCARD tsm_status tsm_output_take(tsm_output *output, char **data, size_t *size);

#endif
