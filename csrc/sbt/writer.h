/* The writer's inside, which opening and resuming fill in. */
#ifndef TSM_SBT_WRITER_H
#define TSM_SBT_WRITER_H

#include "sbt/layout.h"

struct tsm_sbt_writer {
    tsm_sink sink; /* first: a sink is the writer */
    int fd;        /* -1 while there is none */
    sbt_header header;
    sbt_chain chain;
    uint64_t at; /* where the next section goes */
    uint32_t written_rows[TSM_TABLE_LIMIT];
    sbt_encoder *encoder;
    sbt_buffer buffer;         /* the section being composed */
    tsm_extension *extensions; /* of the events that append has given to the encoder */
    uint32_t *extension_rows;
    size_t extension_count, extension_capacity, extension_row_capacity;
};

extern const tsm_sink_ops sbt_writer_sink_ops;

tsm_status sbt_write_header(tsm_sbt_writer *writer, tsm_error *err);

#endif
