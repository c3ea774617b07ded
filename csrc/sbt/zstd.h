/* zstd, where the build has it; elsewhere the same functions say that it is not there, so that
 * nobody else asks the preprocessor. */
#ifndef TSM_SBT_ZSTD_H
#define TSM_SBT_ZSTD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct sbt_zstd_encoder sbt_zstd_encoder;
typedef struct sbt_zstd_decoder sbt_zstd_decoder;

sbt_zstd_encoder *sbt_zstd_encoder_create(void); /* NULL: out of memory, or no zstd */
void sbt_zstd_encoder_destroy(sbt_zstd_encoder *encoder);
/* Bytes written to out (room for count), or 0 when that would not be fewer than count. */
size_t sbt_zstd_encode(sbt_zstd_encoder *encoder, const uint8_t *data, size_t count, uint8_t *out);

/* Made at the first use of *decoder. The frame must give exactly count bytes: what it says of
 * its own size is never believed. */
tsm_status sbt_zstd_decode(sbt_zstd_decoder **decoder, const uint8_t *frame, size_t bytes, uint8_t *out, size_t count);
void sbt_zstd_decoder_destroy(sbt_zstd_decoder *decoder);

#endif
