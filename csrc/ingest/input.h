/* A file as one run of bytes, unpacked if it is gzipped, seen through a window that slides.
 * Whoever parses asks for more when it meets the window's end, and begins its unit anew: so no
 * token is ever cut and parsers know only pointers. Private to ingest/. */
#ifndef TSM_INGEST_INPUT_H
#define TSM_INGEST_INPUT_H

#include "ingest/ingest.h"

typedef struct tsm_input tsm_input;

/* Zeros behind the window's end, for whoever reads a vector at a time. */
#define TSM_INPUT_PAD 64
/* The longest unit. A file may hold an event of this size, or a list that is no list of events. */
#define TSM_INPUT_UNIT ((size_t)256 << 20)

TSM_NODISCARD tsm_status tsm_input_open(const char *path, tsm_input **out, tsm_error *err);
void tsm_input_close(tsm_input *input); /* NULL is allowed */

void tsm_input_watch(tsm_input *input, tsm_ingest_progress progress, void *context);

/* The window, at first empty. */
const char *tsm_input_begin(const tsm_input *input);
const char *tsm_input_end(const tsm_input *input);

/* Drops what lies before keep, which is the window's begin afterwards, and adds bytes behind.
 * TSM_E_END: there are none. */
TSM_NODISCARD tsm_status tsm_input_more(tsm_input *input, const char *keep, tsm_error *err);

uint64_t tsm_input_offset(const tsm_input *input, const char *at); /* in the unpacked bytes */
uint64_t tsm_input_taken(const tsm_input *input);                  /* bytes of the file */
bool tsm_input_truncated(const tsm_input *input);                  /* the gzip stream ends in the middle */

#endif
