/* Packets gather in a window and leave together. Compressed, all that gathered becomes one packet,
 * which a reader unpacks in its place; a file that is cut loses no more than the last of them. */
#include <stdlib.h>
#include <zlib.h>

#include "export/perfetto.h"

#define PACKET_MAX    ((size_t)256 << 10)
#define PLAIN_BYTES   ((size_t)32 << 10)
#define DEFLATE_BYTES ((size_t)240 << 10) /* with one more packet still below the 512 KiB allowed */
#define WINDOW_BYTES  (DEFLATE_BYTES + PACKET_MAX)

bool
pf_window_create(pf_writer *w)
{
    w->window = malloc(WINDOW_BYTES);
    w->at = w->window;
    if (w->window == NULL) {
        return false;
    }
    w->flush_at = w->window + (w->options->compress ? DEFLATE_BYTES : PLAIN_BYTES);
    if (!w->options->compress) {
        return true;
    }
    z_stream *stream = calloc(1, sizeof *stream);
    w->packed = malloc(compressBound(WINDOW_BYTES));
    if (stream == NULL || deflateInit(stream, Z_DEFAULT_COMPRESSION) != Z_OK) {
        free(stream);
        return false;
    }
    w->deflate = stream;
    return w->packed != NULL;
}

void
pf_window_destroy(pf_writer *w)
{
    if (w->deflate != NULL) {
        (void)deflateEnd(w->deflate);
    }
    free(w->deflate);
    free(w->packed);
    free(w->window);
}

static void
put_deflated(pf_writer *w, size_t size)
{
    z_stream *stream = w->deflate;
    size_t bound = compressBound(WINDOW_BYTES);
    stream->next_in = w->window;
    stream->avail_in = (uInt)size;
    stream->next_out = w->packed;
    stream->avail_out = (uInt)bound;
    (void)deflate(stream, Z_FINISH); /* into as much room as it can need */
    size_t packed = bound - stream->avail_out;
    (void)deflateReset(stream);

    uint8_t inner[16], outer[16];
    uint8_t *in = tsm_pb_varint(tsm_pb_tag(inner, PF_PACKET_COMPRESSED, TSM_PB_BYTES), packed);
    size_t in_size = (size_t)(in - inner);
    uint8_t *out = tsm_pb_varint(tsm_pb_tag(outer, PF_TRACE_PACKET, TSM_PB_BYTES), in_size + packed);
    tsm_output_put(w->output, outer, (size_t)(out - outer));
    tsm_output_put(w->output, inner, in_size);
    tsm_output_put(w->output, w->packed, packed);
}

void
pf_window_flush(pf_writer *w)
{
    size_t size = (size_t)(w->at - w->window);
    if (size > 0 && w->deflate != NULL) {
        put_deflated(w, size);
    } else {
        tsm_output_put(w->output, w->window, size);
    }
    w->at = w->window;
}

/* The length of the valid UTF-8 sequence at the beginning of data, or 0. */
static size_t
sequence_length(const uint8_t *data, size_t left)
{
    uint8_t lead = data[0];
    size_t length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : 4;
    if (lead > 0xf4 || (lead >= 0x80 && lead < 0xc2) || length > left) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (lead == 0xe0 && data[1] < 0xa0) || (lead == 0xf0 && data[1] < 0x90);
    bool surrogate = lead == 0xed && data[1] >= 0xa0;
    bool beyond = lead == 0xf4 && data[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : length;
}

/* What is not UTF-8 becomes U+FFFD, as protobuf wants text; a zero byte becomes the picture of
 * one, because readers end their strings there. */
uint8_t *
pf_text(uint8_t *at, uint32_t field, tsm_text text)
{
    static const uint8_t replacement[] = { 0xef, 0xbf, 0xbd }, zero[] = { 0xe2, 0x90, 0x80 };
    uint8_t *begin = tsm_pb_begin(at, field), *to = begin;
    const uint8_t *from = (const uint8_t *)text.data;
    for (size_t i = 0, length; i < text.size && (size_t)(to - begin) < PF_TEXT_MAX - 4; i += length) {
        length = sequence_length(from + i, text.size - i);
        const uint8_t *bytes = length == 0 ? replacement : from[i] == 0 ? zero : from + i;
        size_t count = length == 0 || from[i] == 0 ? sizeof replacement : length;
        memcpy(to, bytes, count);
        to += count;
        length = length == 0 ? 1 : length;
    }
    return tsm_pb_end(begin, to);
}
