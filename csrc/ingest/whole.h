/* For formats whose beginning means nothing without their end. Private to ingest/. */
#ifndef TSM_INGEST_WHOLE_H
#define TSM_INGEST_WHOLE_H

#include "ingest/input.h"

/* All that the input has, in one piece, which the caller frees. */
TSM_NODISCARD tsm_status ingest_read_whole(tsm_input *input, uint8_t **data, size_t *size, tsm_error *err);

#endif
