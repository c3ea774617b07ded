#include "export/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BUFFER_BYTES  ((size_t)256 << 10)
#define GZIP_WINDOW   (15 + 16) /* the largest window, and a gzip header around it */
#define NAME_ATTEMPTS 100

struct tsm_output {
    char *data;
    size_t used, capacity;
    uint64_t flushed; /* bytes that left data */
    int file;         /* -1: memory */
    bool gzip, failed;
    tsm_status status; /* why it failed, with error */
    tsm_error error;
    char *path, *part; /* part: written to, then renamed to path. NULL: written in place */
    z_stream deflate;
    unsigned char *packed;
};

static void
fail(tsm_output *output, const char *what)
{
    if (!output->failed) {
        output->failed = true;
        output->status = tsm_fail_errno(&output->error, TSM_E_IO, "%s: %s", output->path, what);
    }
}

static void
write_file(tsm_output *output, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0 && !output->failed) {
        ssize_t done = write(output->file, at, bytes);
        if (done >= 0) {
            at += done;
            bytes -= (size_t)done;
        } else if (errno != EINTR) {
            fail(output, "cannot write");
        }
    }
}

static void
write_packed(tsm_output *output, const void *data, size_t bytes, int flush)
{
    z_stream *stream = &output->deflate;
    stream->next_in = (Bytef *)(uintptr_t)data;
    stream->avail_in = (uInt)bytes;
    do {
        stream->next_out = output->packed;
        stream->avail_out = (uInt)BUFFER_BYTES;
        (void)deflate(stream, flush); /* can only run out of room, which the loop gives */
        write_file(output, output->packed, BUFFER_BYTES - stream->avail_out);
    } while (stream->avail_out == 0 && !output->failed);
}

static void
flush(tsm_output *output)
{
    if (!output->failed && output->gzip) {
        write_packed(output, output->data, output->used, Z_NO_FLUSH);
    } else if (!output->failed) {
        write_file(output, output->data, output->used);
    }
    output->flushed += output->used;
    output->used = 0;
}

static void
grow(tsm_output *output, size_t bytes)
{
    size_t wanted = output->capacity * 2 > output->used + bytes ? output->capacity * 2 : output->used + bytes;
    char *moved = realloc(output->data, wanted);
    if (moved == NULL) {
        output->failed = true;
        output->status = TSM_E_NOMEM;
        output->used = 0;
        return;
    }
    output->data = moved;
    output->capacity = wanted;
}

char *
tsm_output_room(tsm_output *output, size_t bytes)
{
    if (bytes > output->capacity - output->used) {
        if (output->file >= 0) {
            flush(output);
        } else if (output->failed) {
            output->used = 0;
        } else {
            grow(output, bytes);
        }
    }
    return output->data + output->used;
}

void
tsm_output_advance(tsm_output *output, size_t bytes)
{
    output->used += bytes;
}

void
tsm_output_put(tsm_output *output, const void *data, size_t bytes)
{
    const char *at = data;
    const size_t most = (size_t)64 << 10;
    for (size_t part; bytes > 0; at += part, bytes -= part) {
        part = bytes < most ? bytes : most;
        memcpy(tsm_output_room(output, part), at, part);
        tsm_output_advance(output, part);
    }
}

uint64_t
tsm_output_bytes(const tsm_output *output)
{
    return output->flushed + output->used;
}

bool
tsm_output_failed(const tsm_output *output)
{
    return output->failed;
}

static void
destroy(tsm_output *output)
{
    if (output->packed != NULL) {
        (void)deflateEnd(&output->deflate);
    }
    free(output->packed);
    free(output->path);
    free(output->part);
    free(output->data);
    free(output);
}

static tsm_output *
create(bool gzip)
{
    tsm_output *output = calloc(1, sizeof *output);
    if (output == NULL) {
        return NULL;
    }
    output->file = -1;
    output->data = malloc(BUFFER_BYTES);
    output->capacity = BUFFER_BYTES;
    output->gzip = gzip;
    if (gzip && output->data != NULL) {
        unsigned char *packed = malloc(BUFFER_BYTES);
        if (packed == NULL
            || deflateInit2(&output->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 9, Z_DEFAULT_STRATEGY)
                   != Z_OK) {
            free(packed);
            destroy(output);
            return NULL;
        }
        output->packed = packed;
    }
    if (output->data == NULL) {
        destroy(output);
        return NULL;
    }
    return output;
}

/* A name of its own beside path, so that two exports to one path do not meet. */
static tsm_status
create_part(tsm_output *output, tsm_error *err)
{
    static atomic_uint serial;
    const size_t room = strlen(output->path) + 40;
    char *part = malloc(room);
    if (part == NULL) {
        return TSM_E_NOMEM;
    }
    for (unsigned i = 0; i < NAME_ATTEMPTS && output->file < 0; i++) {
        unsigned number = atomic_fetch_add_explicit(&serial, 1, memory_order_relaxed); /* only to differ */
        snprintf(part, room, "%s.%ld.%u.part", output->path, (long)getpid(), number);
        output->file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (output->file < 0 && errno != EEXIST) {
            break;
        }
    }
    if (output->file < 0) {
        free(part);
        return tsm_fail_errno(err, TSM_E_IO, "%s: cannot create", output->path);
    }
    output->part = part;
    return TSM_OK;
}

/* Devices and pipes are written in place; a link stays and its target is replaced. */
static tsm_status
open_file(tsm_output *output, const char *path, tsm_error *err)
{
    struct stat status;
    const bool exists = stat(path, &status) == 0;
    output->path = exists ? realpath(path, NULL) : strdup(path);
    if (output->path == NULL) {
        return exists ? tsm_fail_errno(err, TSM_E_IO, "%s: cannot resolve", path) : TSM_E_NOMEM;
    }
    if (exists && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return tsm_fail_errno(err, TSM_E_IO, "%s: cannot write", path);
    }
    if (!exists || S_ISREG(status.st_mode)) {
        return create_part(output, err);
    }
    output->file = open(path, O_WRONLY | O_CLOEXEC);
    return output->file >= 0 ? TSM_OK : tsm_fail_errno(err, TSM_E_IO, "%s: cannot open", path);
}

static tsm_status
open_stdout(tsm_output *output, tsm_error *err)
{
    output->path = strdup("standard output");
    output->file = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (output->file < 0) {
        return tsm_fail_errno(err, TSM_E_IO, "standard output: cannot open");
    }
    return output->path == NULL ? TSM_E_NOMEM : TSM_OK;
}

tsm_status
tsm_output_open(const char *path, bool gzip, tsm_output **out, tsm_error *err)
{
    tsm_output *output = create(gzip);
    if (output == NULL) {
        return TSM_E_NOMEM;
    }
    tsm_status status = strcmp(path, "-") == 0 ? open_stdout(output, err) : open_file(output, path, err);
    if (status != TSM_OK) {
        tsm_output_abandon(output);
        return status;
    }
    *out = output;
    return TSM_OK;
}

tsm_status
tsm_output_open_memory(tsm_output **out)
{
    tsm_output *output = create(false);
    if (output == NULL) {
        return TSM_E_NOMEM;
    }
    *out = output;
    return TSM_OK;
}

static void
finish(tsm_output *output)
{
    flush(output);
    if (output->gzip && !output->failed) {
        write_packed(output, NULL, 0, Z_FINISH);
    }
    int closed = close(output->file);
    output->file = -1;
    if (closed < 0) {
        fail(output, "cannot close");
    }
    if (!output->failed && output->part != NULL && rename(output->part, output->path) < 0) {
        fail(output, "cannot replace");
    }
}

tsm_status
tsm_output_close(tsm_output *output, tsm_error *err)
{
    if (output->file >= 0) {
        finish(output);
    }
    tsm_status status = output->failed ? output->status : TSM_OK;
    if (status != TSM_OK && err != NULL) {
        *err = output->error;
    }
    if (status != TSM_OK && output->part != NULL) {
        (void)unlink(output->part);
    }
    destroy(output);
    return status;
}

void
tsm_output_abandon(tsm_output *output)
{
    if (output == NULL) {
        return;
    }
    if (output->file >= 0) {
        (void)close(output->file);
    }
    if (output->part != NULL) {
        (void)unlink(output->part);
    }
    destroy(output);
}

tsm_status
tsm_output_take(tsm_output *output, char **data, size_t *size)
{
    const tsm_status status = output->failed ? output->status : TSM_OK;
    if (status == TSM_OK) {
        *data = output->data;
        *size = output->used;
        output->data = NULL;
    }
    destroy(output);
    return status;
}
