#include "sbt/zstd.h"

#include "sbt/sbt.h"

#if TSM_HAVE_ZSTD
#include <zstd.h>

/* Higher levels find less than 1 % more in byte planes. */
#define LEVEL 1

bool
tsm_sbt_zstd_available(void)
{
    return true;
}

sbt_zstd_encoder *
sbt_zstd_encoder_create(void)
{
    return (sbt_zstd_encoder *)ZSTD_createCCtx();
}

void
sbt_zstd_encoder_destroy(sbt_zstd_encoder *encoder)
{
    ZSTD_freeCCtx((ZSTD_CCtx *)encoder);
}

size_t
sbt_zstd_encode(sbt_zstd_encoder *encoder, const uint8_t *data, size_t count, uint8_t *out)
{
    size_t bytes = ZSTD_compressCCtx((ZSTD_CCtx *)encoder, out, count - 1, data, count, LEVEL);
    return ZSTD_isError(bytes) ? 0 : bytes;
}

tsm_status
sbt_zstd_decode(sbt_zstd_decoder **decoder, const uint8_t *frame, size_t bytes, uint8_t *out, size_t count)
{
    if (*decoder == NULL) {
        *decoder = (sbt_zstd_decoder *)ZSTD_createDCtx();
    }
    if (*decoder == NULL) {
        return TSM_E_NOMEM;
    }
    size_t got = ZSTD_decompressDCtx((ZSTD_DCtx *)*decoder, out, count, frame, bytes);
    return got == count ? TSM_OK : TSM_E_CORRUPT;
}

void
sbt_zstd_decoder_destroy(sbt_zstd_decoder *decoder)
{
    ZSTD_freeDCtx((ZSTD_DCtx *)decoder);
}

#else

bool
tsm_sbt_zstd_available(void)
{
    return false;
}

sbt_zstd_encoder *
sbt_zstd_encoder_create(void)
{
    return NULL;
}

void
sbt_zstd_encoder_destroy(sbt_zstd_encoder *encoder)
{
    (void)encoder;
}

size_t
sbt_zstd_encode(sbt_zstd_encoder *encoder, const uint8_t *data, size_t count, uint8_t *out)
{
    (void)encoder, (void)data, (void)count, (void)out;
    return 0;
}

tsm_status
sbt_zstd_decode(sbt_zstd_decoder **decoder, const uint8_t *frame, size_t bytes, uint8_t *out, size_t count)
{
    (void)decoder, (void)frame, (void)bytes, (void)out, (void)count;
    return TSM_E_UNSUPPORTED;
}

void
sbt_zstd_decoder_destroy(sbt_zstd_decoder *decoder)
{
    (void)decoder;
}

#endif
