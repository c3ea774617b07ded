#include "ingest/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define PACKED_BYTES  ((size_t)256 << 10)
#define WINDOW_BYTES  ((size_t)512 << 10)
#define MEMBER_HEADER 2 /* bytes that tell whether another gzip member follows */

struct tsm_input {
    int fd;
    bool gzipped, truncated, ended;
    uint64_t taken, total; /* of the file */
    uint64_t dropped;      /* unpacked bytes before the window */
    char *window;
    size_t end, capacity;
    uint8_t *packed;
    z_stream stream;
    tsm_ingest_progress progress;
    void *context;
};

/* Up to size bytes; *got 0 at the end of the file. */
static tsm_status
take(tsm_input *input, void *to, size_t size, size_t *got, tsm_error *err)
{
    ssize_t some;
    do {
        some = read(input->fd, to, size);
    } while (some < 0 && errno == EINTR);
    if (some < 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot read behind byte %llu", (unsigned long long)input->taken);
    }
    *got = (size_t)some;
    input->taken += (uint64_t)some;
    if (input->progress != NULL && some > 0
        && !input->progress(input->context, input->taken, input->total < input->taken ? input->taken : input->total)) {
        return tsm_fail(err, TSM_E_STATE, input->taken, "stopped by the caller");
    }
    return TSM_OK;
}

static tsm_status
refill_packed(tsm_input *input, tsm_error *err)
{
    size_t got = 0, left = input->stream.avail_in;
    memmove(input->packed, input->stream.next_in, left);
    tsm_status status = take(input, input->packed + left, PACKED_BYTES - left, &got, err);
    input->stream.next_in = input->packed;
    input->stream.avail_in = (uInt)(left + got);
    return status;
}

static bool
is_gzip(const uint8_t *at)
{
    return at[0] == 0x1f && at[1] == 0x8b;
}

/* A file may be several gzip streams in a row; what follows the last and is none is left alone. */
static tsm_status
next_member(tsm_input *input, tsm_error *err)
{
    if (input->stream.avail_in < MEMBER_HEADER) {
        tsm_status status = refill_packed(input, err);
        if (status != TSM_OK) {
            return status;
        }
    }
    if (input->stream.avail_in < MEMBER_HEADER || !is_gzip(input->stream.next_in)) {
        input->ended = true;
        return TSM_OK;
    }
    return inflateReset(&input->stream) == Z_OK ? TSM_OK : tsm_fail(err, TSM_E_NOMEM, 0, "zlib cannot start again");
}

static tsm_status
unpack(tsm_input *input, tsm_error *err)
{
    z_stream *stream = &input->stream;
    stream->next_out = (Bytef *)input->window + input->end;
    stream->avail_out = (uInt)(input->capacity - input->end);
    size_t room = stream->avail_out;
    tsm_status status = TSM_OK;
    while (status == TSM_OK && !input->ended && stream->avail_out > 0) {
        if (stream->avail_in == 0) {
            status = refill_packed(input, err);
            if (status == TSM_OK && stream->avail_in == 0) {
                input->ended = input->truncated = true;
                break;
            }
        }
        int result = status == TSM_OK ? inflate(stream, Z_NO_FLUSH) : Z_OK;
        if (result == Z_STREAM_END) {
            status = next_member(input, err);
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            status = tsm_fail(err, TSM_E_CORRUPT, input->taken - stream->avail_in, "damaged gzip data: %s",
                              stream->msg == NULL ? "zlib gives no reason" : stream->msg);
        }
    }
    input->end += room - stream->avail_out;
    return status;
}

static tsm_status
copy_plain(tsm_input *input, tsm_error *err)
{
    size_t got = 0;
    tsm_status status = take(input, input->window + input->end, input->capacity - input->end, &got, err);
    input->end += got;
    input->ended = got == 0;
    return status;
}

/* A unit that fills the window doubles it. */
static tsm_status
make_room(tsm_input *input, const char *keep, tsm_error *err)
{
    size_t at = (size_t)(keep - input->window);
    input->dropped += at;
    input->end -= at;
    memmove(input->window, keep, input->end);
    if (input->end <= input->capacity / 2) {
        return TSM_OK;
    }
    if (input->end > TSM_INPUT_UNIT) {
        return tsm_fail(err, TSM_E_LIMIT, input->dropped, "one value of more than %zu MB",
                        (size_t)(TSM_INPUT_UNIT >> 20));
    }
    char *window = realloc(input->window, input->capacity * 2 + TSM_INPUT_PAD);
    if (window == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, input->dropped, "no memory for a value of more than %zu bytes", input->end);
    }
    input->window = window;
    input->capacity *= 2;
    return TSM_OK;
}

tsm_status
tsm_input_more(tsm_input *input, const char *keep, tsm_error *err)
{
    tsm_status status = make_room(input, keep, err);
    size_t before = input->end;
    if (status == TSM_OK && !input->ended) {
        status = input->gzipped ? unpack(input, err) : copy_plain(input, err);
    }
    memset(input->window + input->end, 0, TSM_INPUT_PAD);
    return status != TSM_OK ? status : input->end == before ? TSM_E_END : TSM_OK;
}

static tsm_status
start(tsm_input *input, const char *path, tsm_error *err)
{
    struct stat about;
    if (fstat(input->fd, &about) != 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot look at %s", path);
    }
    if (S_ISDIR(about.st_mode)) {
        errno = EISDIR;
        return tsm_fail_errno(err, TSM_E_IO, "cannot read %s", path);
    }
    input->total = about.st_size > 0 ? (uint64_t)about.st_size : 0;
    input->capacity = WINDOW_BYTES;
    input->window = calloc(1, WINDOW_BYTES + TSM_INPUT_PAD);
    input->packed = malloc(PACKED_BYTES);
    if (input->window == NULL || input->packed == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to read a file");
    }
    input->stream.next_in = input->packed;
    tsm_status status = refill_packed(input, err);
    if (status != TSM_OK) {
        return status;
    }
    if (input->stream.avail_in >= MEMBER_HEADER && is_gzip(input->packed)) {
        input->gzipped = inflateInit2(&input->stream, 15 + 16) == Z_OK;
        return input->gzipped ? TSM_OK : tsm_fail(err, TSM_E_NOMEM, 0, "no memory for zlib");
    }
    input->end = input->stream.avail_in;
    memcpy(input->window, input->packed, input->end);
    return TSM_OK;
}

tsm_status
tsm_input_open(const char *path, tsm_input **out, tsm_error *err)
{
    tsm_input *input = calloc(1, sizeof *input);
    if (input == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to read a file");
    }
    input->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0) {
        tsm_status status = tsm_fail_errno(err, TSM_E_IO, "cannot open %s", path);
        free(input);
        return status;
    }
    tsm_status status = start(input, path, err);
    if (status != TSM_OK) {
        tsm_input_close(input);
        return status;
    }
    *out = input;
    return TSM_OK;
}

void
tsm_input_close(tsm_input *input)
{
    if (input == NULL) {
        return;
    }
    if (input->gzipped) {
        (void)inflateEnd(&input->stream);
    }
    close(input->fd);
    free(input->window);
    free(input->packed);
    free(input);
}

void
tsm_input_watch(tsm_input *input, tsm_ingest_progress progress, void *context)
{
    input->progress = progress;
    input->context = context;
}

const char *
tsm_input_begin(const tsm_input *input)
{
    return input->window;
}

const char *
tsm_input_end(const tsm_input *input)
{
    return input->window + input->end;
}

uint64_t
tsm_input_offset(const tsm_input *input, const char *at)
{
    return input->dropped + (uint64_t)(at - input->window);
}

uint64_t
tsm_input_taken(const tsm_input *input)
{
    return input->taken;
}

bool
tsm_input_truncated(const tsm_input *input)
{
    return input->truncated;
}
