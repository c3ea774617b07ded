/* How a writer comes to its file: a new one, or one whose writer died. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "sbt/writer.h"

/* A uuid of version 4. Where the kernel has no random bytes to give, time and place must do. */
static void
make_uuid(uint8_t uuid[16])
{
    if (getrandom(uuid, 16, GRND_NONBLOCK) != 16) {
        uint64_t a = tsm_hash_mix(tsm_clock_read_ns(CLOCK_REALTIME), (uint64_t)getpid());
        uint64_t b = tsm_hash_mix(a, tsm_clock_ns());
        memcpy(uuid, &a, 8);
        memcpy(uuid + 8, &b, 8);
    }
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static tsm_status
lock(int fd, const char *path, tsm_error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return TSM_OK;
    }
    if (errno == EWOULDBLOCK) {
        return tsm_fail(err, TSM_E_BUSY, 0, "another writer has %s open", path);
    }
    return tsm_fail_errno(err, TSM_E_IO, "cannot lock %s", path);
}

static tsm_status
check_regular(int fd, const char *path, tsm_error *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot ask about %s", path);
    }
    if (!S_ISREG(about.st_mode)) {
        errno = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
        return tsm_fail_errno(err, TSM_E_IO, "%s is not a regular file", path);
    }
    return TSM_OK;
}

/* Takes an existing file of that name out of the way, unless a writer has it. */
static tsm_status
unlink_old(const char *path, tsm_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        /* A symbolic link to nowhere is in the way too. */
        if (errno != ENOENT) {
            return tsm_fail_errno(err, TSM_E_IO, "cannot replace %s", path);
        }
        unlink(path);
        return TSM_OK;
    }
    tsm_status status = check_regular(fd, path, err);
    if (status == TSM_OK) {
        status = lock(fd, path, err);
    }
    if (status == TSM_OK && unlink(path) != 0 && errno != ENOENT) {
        status = tsm_fail_errno(err, TSM_E_IO, "cannot replace %s", path);
    }
    close(fd);
    return status;
}

static tsm_status
create_file(tsm_sbt_writer *w, const char *path, tsm_error *err)
{
    /* Somebody may create the file between unlink and open: then it is theirs or ours. */
    for (int attempt = 0; attempt < 8; attempt++) {
        tsm_status status = unlink_old(path, err);
        if (status != TSM_OK) {
            return status;
        }
        w->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) {
            return lock(w->fd, path, err);
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return tsm_fail_errno(err, TSM_E_IO, "cannot create %s", path);
}

/* Everything but the file and the chain. */
static tsm_status
create_writer(tsm_sbt_writer **out, tsm_error *err)
{
    tsm_sbt_writer *w = calloc(1, sizeof *w);
    if (w != NULL) {
        w->fd = -1;
        w->sink.ops = &sbt_writer_sink_ops;
    }
    if (w == NULL || sbt_chain_create(&w->chain) != TSM_OK) {
        tsm_sbt_writer_destroy(w);
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for a writer");
    }
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        w->written_rows[table] = 1; /* row 0 is not written: it is always 'none' */
    }
    *out = w;
    return TSM_OK;
}

static tsm_status
create_encoder(tsm_sbt_writer *w, tsm_sbt_compression compression, tsm_error *err)
{
    if (sbt_encoder_create(compression, &w->encoder) != TSM_OK) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory for an encoder");
    }
    return TSM_OK;
}

tsm_status
tsm_sbt_writer_open(const char *path, tsm_sbt_compression compression, tsm_sbt_writer **out, tsm_error *err)
{
    tsm_sbt_writer *w = NULL;
    if (compression == TSM_SBT_ZSTD && !tsm_sbt_zstd_available()) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "this build has no zstd: write without compression");
    }
    tsm_status status = create_writer(&w, err);
    if (status != TSM_OK) {
        return status;
    }
    w->header = (sbt_header){ .magic = SBT_MAGIC,
                              .version_major = SBT_VERSION_MAJOR,
                              .version_minor = SBT_VERSION_MINOR,
                              .header_bytes = sizeof(sbt_header),
                              .flags = SBT_FLAG_INCOMPLETE,
                              .required = compression == TSM_SBT_ZSTD ? SBT_FEATURE_ZSTD : 0 };
    make_uuid(w->header.uuid);
    w->at = w->chain.end = sizeof(sbt_header);
    if ((status = create_encoder(w, compression, err)) != TSM_OK || (status = create_file(w, path, err)) != TSM_OK
        || (status = sbt_write_header(w, err)) != TSM_OK) {
        tsm_sbt_writer_destroy(w);
        return status;
    }
    *out = w;
    return TSM_OK;
}

/* A file being resumed, mapped: the lock is ours, so that nobody else changes it. */
typedef struct {
    tsm_sbt_writer *writer;
    sbt_source source;
} resumption;

/* The next place where a section begins for sure: its header says that it belongs there. */
static bool
find_section(sbt_source *source, uint64_t from, sbt_section *section)
{
    for (uint64_t at = from; at + sizeof *section <= source->bytes; at += 8) {
        if (tsm_load_u64(source->map + at + offsetof(sbt_section, offset)) == at
            && sbt_section_at(source, at, section)) {
            return true;
        }
    }
    return false;
}

/* A header by which readers pass over what is damaged, and keep row ids right. */
static tsm_status
mark_lost(resumption *r, sbt_section section, tsm_error *err)
{
    section.kind |= SBT_KIND_LOST;
    section.payload_crc =
        tsm_crc32c(0, r->source.map + section.offset + sizeof section, sbt_padded(section.payload_bytes));
    sbt_section_seal(&section);
    if (pwrite(r->writer->fd, &section, sizeof section, (off_t)section.offset) != sizeof section) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot mark what is damaged at byte %llu",
                              (unsigned long long)section.offset);
    }
    return TSM_OK;
}

/* The section at the chain's end is not whole. If more sections follow, it is marked as lost:
 * true, go on. Otherwise it is the end where the writer died. */
static bool
mark_if_followed(resumption *r, tsm_status *status, tsm_error *err)
{
    sbt_section damaged, next;
    uint64_t at = r->writer->chain.end;
    bool has_header = sbt_section_at(&r->source, at, &damaged);
    if (!find_section(&r->source, has_header ? sbt_section_end(&damaged) : at + 8, &next)) {
        return false;
    }
    if (!has_header) {
        if (next.offset - at < sizeof damaged) {
            return false;
        }
        damaged = (sbt_section){ .offset = at, .payload_bytes = next.offset - at - sizeof damaged };
    }
    *status = mark_lost(r, damaged, err);
    return *status == TSM_OK;
}

static tsm_status
take_sections(resumption *r, tsm_error *err)
{
    sbt_chain *chain = &r->writer->chain;
    for (;;) {
        sbt_section section;
        tsm_status status = TSM_OK;
        const uint8_t *payload = NULL;
        if (sbt_section_at(&r->source, chain->end, &section)) {
            if (section.kind == SBT_KIND_INDEX || section.kind == SBT_KIND_FOOTER) {
                return TSM_OK;
            }
            payload = sbt_section_payload(&r->source, &section);
        }
        if (payload == NULL) {
            if (mark_if_followed(r, &status, err)) {
                continue;
            }
            return status;
        }
        if ((status = sbt_chain_take(chain, &section, payload, err)) != TSM_OK) {
            return status;
        }
    }
}

static tsm_status
map_file(resumption *r, const char *path, tsm_error *err)
{
    struct stat about;
    if (fstat(r->writer->fd, &about) != 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot ask about %s", path);
    }
    r->source = (sbt_source){ .fd = -1, .bytes = (uint64_t)about.st_size };
    if (about.st_size == 0) {
        return TSM_OK;
    }
    void *map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, r->writer->fd, 0);
    if (map == MAP_FAILED) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot map %s", path);
    }
    r->source.map = map;
    return TSM_OK;
}

/* The header says 'incomplete' before anything is cut off, so that a death in between leaves a
 * file that reads. */
static tsm_status
reopen(resumption *r, tsm_error *err)
{
    tsm_sbt_writer *w = r->writer;
    tsm_status status = sbt_header_check(r->source.map, r->source.bytes, &w->header, err);
    if (status != TSM_OK) {
        return status;
    }
    w->chain.end = w->header.header_bytes;
    if ((status = take_sections(r, err)) != TSM_OK) {
        return status;
    }
    w->at = w->chain.end;
    w->header.flags |= SBT_FLAG_INCOMPLETE;
    w->header.footer = 0;
    if ((status = sbt_write_header(w, err)) != TSM_OK) {
        return status;
    }
    if (w->at < r->source.bytes && ftruncate(w->fd, (off_t)w->at) != 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot cut the file off at byte %llu", (unsigned long long)w->at);
    }
    for (unsigned table = 0; table < TSM_TABLE_LIMIT; table++) {
        w->written_rows[table] = tsm_tables_count(w->chain.tables, table);
    }
    /* Not written yet: so the next block, or the end, brings them into the file. */
    if ((status = sbt_chain_restore_rows(&w->chain, &r->source, err)) != TSM_OK) {
        return status;
    }
    return create_encoder(w, w->header.required & SBT_FEATURE_ZSTD ? TSM_SBT_ZSTD : TSM_SBT_PLAIN, err);
}

static tsm_status
open_existing(tsm_sbt_writer *w, const char *path, tsm_error *err)
{
    w->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (w->fd < 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot open %s", path);
    }
    tsm_status status = check_regular(w->fd, path, err);
    return status == TSM_OK ? lock(w->fd, path, err) : status;
}

tsm_status
tsm_sbt_writer_resume(const char *path, tsm_sbt_writer **out, tsm_error *err)
{
    resumption r = { .writer = NULL };
    tsm_status status = create_writer(&r.writer, err);
    if (status != TSM_OK) {
        return status;
    }
    status = open_existing(r.writer, path, err);
    if (status == TSM_OK) {
        status = map_file(&r, path, err);
    }
    if (status == TSM_OK) {
        status = reopen(&r, err);
    }
    if (r.source.map != NULL) {
        munmap((void *)r.source.map, (size_t)r.source.bytes);
    }
    if (status != TSM_OK) {
        tsm_sbt_writer_destroy(r.writer);
        return status;
    }
    *out = r.writer;
    return TSM_OK;
}

tsm_status
tsm_sbt_repair(const char *path, tsm_error *err)
{
    tsm_sbt_writer *w;
    tsm_status status = tsm_sbt_writer_resume(path, &w, err);
    return status == TSM_OK ? tsm_sbt_writer_close(w, err) : status;
}
