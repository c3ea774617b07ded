/* The reader. Opening reads index and tables, or scans where the writer has not finished; both by
 * read, because a live file's end may still be cut off. Blocks are whole and stay: those are mapped. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "sbt/layout.h"

struct tsm_sbt_reader {
    sbt_source source; /* of the whole file */
    sbt_source view;   /* of the sections known to be whole: always a map */
    bool mapped;       /* view is ours to unmap */
    bool complete;
    sbt_header header;
    sbt_chain chain;
    uint64_t used_bytes;
    size_t listed; /* entries of the chain that blocks has seen */
    tsm_sbt_block_info *blocks;
    size_t block_count, block_capacity;
    uint64_t *latest_end;     /* [i]: of blocks 0..i */
    uint64_t *earliest_begin; /* [i]: of blocks i.. */
    size_t end_capacity, begin_capacity;
};

static tsm_status
list_blocks(tsm_sbt_reader *r)
{
    const sbt_chain *chain = &r->chain;
    size_t wanted = r->block_count + (chain->entry_count - r->listed);
    if (!tsm_array_reserve(&r->blocks, &r->block_capacity, wanted)
        || !tsm_array_reserve(&r->latest_end, &r->end_capacity, wanted)
        || !tsm_array_reserve(&r->earliest_begin, &r->begin_capacity, wanted)) {
        return TSM_E_NOMEM;
    }
    for (; r->listed < chain->entry_count; r->listed++) {
        const sbt_entry *entry = &chain->entries[r->listed];
        if (entry->kind != SBT_KIND_BLOCK) {
            continue;
        }
        const tsm_sbt_block_info *before = r->block_count == 0 ? NULL : &r->blocks[r->block_count - 1];
        r->blocks[r->block_count++] =
            (tsm_sbt_block_info){ .offset = entry->offset,
                                  .bytes = sizeof(sbt_section) + sbt_padded(entry->payload_bytes),
                                  .first_event = before == NULL ? 0 : before->first_event + before->count,
                                  .begin_ns = entry->begin_ns,
                                  .last_ns = entry->last_ns,
                                  .end_ns = entry->end_ns,
                                  .count = entry->count,
                                  .extension_count = entry->extension_count };
    }
    uint64_t latest = 0, earliest = UINT64_MAX;
    for (size_t i = 0; i < r->block_count; i++) {
        latest = r->blocks[i].end_ns > latest ? r->blocks[i].end_ns : latest;
        r->latest_end[i] = latest;
    }
    for (size_t i = r->block_count; i-- > 0;) {
        const tsm_sbt_block_info *block = &r->blocks[i];
        earliest = block->count > 0 && block->begin_ns < earliest ? block->begin_ns : earliest;
        r->earliest_begin[i] = earliest;
    }
    return TSM_OK;
}

static tsm_status
read_header(tsm_sbt_reader *r, tsm_error *err)
{
    tsm_status status = TSM_E_CORRUPT;
    /* The writer may be rewriting it just now. */
    for (int attempt = 0; attempt < 3 && status == TSM_E_CORRUPT; attempt++) {
        uint64_t known = r->source.bytes < sizeof r->header ? r->source.bytes : sizeof r->header;
        const uint8_t *data = sbt_source_borrow(&r->source, 0, known);
        if (data == NULL) {
            return tsm_fail_errno(err, TSM_E_IO, "cannot read the header");
        }
        status = sbt_header_check(data, known, &r->header, err);
    }
    return status;
}

static tsm_status
fail_finished(uint64_t offset, const char *what, tsm_error *err)
{
    return tsm_fail(err, TSM_E_CORRUPT, offset, "the %s at byte %llu is damaged; repair makes a new one", what,
                    (unsigned long long)offset);
}

static tsm_status
read_footer(tsm_sbt_reader *r, sbt_section *section, sbt_footer *footer, tsm_error *err)
{
    uint64_t at = r->header.footer, size = sizeof *section + sizeof *footer;
    if (at > r->source.bytes || size > r->source.bytes - at) {
        return tsm_fail(err, TSM_E_TRUNCATED, r->source.bytes,
                        "the file was finished with %llu bytes and has only %llu; repair keeps what is there",
                        (unsigned long long)(at + size), (unsigned long long)r->source.bytes);
    }
    const uint8_t *payload = NULL;
    if (sbt_section_at(&r->source, at, section) && section->kind == SBT_KIND_FOOTER
        && section->payload_bytes >= sizeof *footer) {
        payload = sbt_section_payload(&r->source, section);
    }
    if (payload == NULL) {
        return fail_finished(at, "footer", err);
    }
    memcpy(footer, payload, sizeof *footer);
    return TSM_OK;
}

static tsm_status
read_tables(tsm_sbt_reader *r, tsm_error *err)
{
    for (size_t i = 0; i < r->chain.entry_count; i++) {
        const sbt_entry *entry = &r->chain.entries[i];
        sbt_section section;
        if (entry->kind == SBT_KIND_LOST) {
            r->chain.lost_bytes += entry->payload_bytes;
        }
        if ((entry->kind & ~SBT_KIND_LOST) != SBT_KIND_TABLE) {
            continue;
        }
        const uint8_t *payload = NULL;
        if (sbt_section_at(&r->source, entry->offset, &section) && section.kind == entry->kind
            && section.table == entry->table && section.count == entry->count
            && section.payload_bytes == entry->payload_bytes) {
            payload = sbt_section_payload(&r->source, &section);
        }
        if (payload == NULL) {
            return tsm_fail(err, TSM_E_CORRUPT, entry->offset,
                            "table rows at byte %llu are damaged; repair gives them up and keeps the rest",
                            (unsigned long long)entry->offset);
        }
        tsm_status status = sbt_table_decode(&r->chain, &section, payload, err);
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}

static tsm_status
read_finished(tsm_sbt_reader *r, tsm_error *err)
{
    sbt_section section, index;
    sbt_footer footer;
    tsm_status status = read_footer(r, &section, &footer, err);
    if (status != TSM_OK) {
        return status;
    }
    const uint8_t *payload = NULL;
    if (sbt_section_at(&r->source, footer.index, &index) && index.kind == SBT_KIND_INDEX
        && sbt_section_end(&index) == section.offset) {
        payload = sbt_section_payload(&r->source, &index);
    }
    if (payload == NULL) {
        return fail_finished(footer.index, "index", err);
    }
    status = sbt_chain_read_index(&r->chain, &index, payload, err);
    if (status == TSM_OK) {
        const sbt_footer *totals = &r->chain.totals;
        if (footer.event_count != totals->event_count || footer.extension_count != totals->extension_count
            || footer.block_count != totals->block_count) {
            return fail_finished(section.offset, "footer", err);
        }
        r->used_bytes = sbt_section_end(&section);
        r->complete = true;
        status = read_tables(r, err);
    }
    return status;
}

static tsm_status
map_view(tsm_sbt_reader *r, tsm_error *err)
{
    if (r->source.fd < 0) {
        r->view = r->source;
        return TSM_OK;
    }
    if (r->mapped && r->view.bytes == r->chain.end) {
        return TSM_OK;
    }
    void *map = mmap(NULL, (size_t)r->chain.end, PROT_READ, MAP_SHARED, r->source.fd, 0);
    if (map == MAP_FAILED) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot map the file");
    }
    if (r->mapped) {
        munmap((void *)r->view.map, (size_t)r->view.bytes);
    }
    r->view = (sbt_source){ .fd = -1, .map = map, .bytes = r->chain.end };
    r->mapped = true;
    return TSM_OK;
}

static tsm_status
find_size(tsm_sbt_reader *r, tsm_error *err)
{
    struct stat about;
    if (r->source.fd < 0) {
        return TSM_OK;
    }
    if (fstat(r->source.fd, &about) != 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot ask for the file's size");
    }
    if (!S_ISREG(about.st_mode)) {
        errno = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
        return tsm_fail_errno(err, TSM_E_IO, "not a regular file");
    }
    r->source.bytes = (uint64_t)about.st_size;
    return TSM_OK;
}

/* Takes in the sections that are new. */
static tsm_status
scan(tsm_sbt_reader *r, tsm_error *err)
{
    tsm_status status = sbt_scan(&r->chain, &r->source, err);
    r->used_bytes = r->chain.end;
    r->complete = false;
    if (status == TSM_OK && !(r->header.flags & SBT_FLAG_INCOMPLETE)) {
        sbt_section section;
        sbt_footer footer;
        status = read_footer(r, &section, &footer, err);
        if (status == TSM_OK && footer.index != r->chain.end) {
            status = tsm_fail(err, TSM_E_CORRUPT, r->chain.end, "what lies at byte %llu is damaged",
                              (unsigned long long)r->chain.end);
        }
        if (status == TSM_OK) {
            r->used_bytes = sbt_section_end(&section);
            r->complete = true;
        }
    }
    return status;
}

static tsm_status
take_in(tsm_sbt_reader *r, tsm_error *err)
{
    tsm_status status = map_view(r, err);
    if (status == TSM_OK && list_blocks(r) != TSM_OK) {
        status = tsm_fail(err, TSM_E_NOMEM, 0, "no memory for the list of blocks");
    }
    return status;
}

static tsm_status
load(tsm_sbt_reader *r, tsm_error *err)
{
    tsm_status status = find_size(r, err);
    if (status == TSM_OK) {
        status = read_header(r, err);
    }
    if (status == TSM_OK && r->header.header_bytes > r->source.bytes) {
        status = tsm_fail(err, TSM_E_TRUNCATED, r->source.bytes, "the file ends inside its header");
    }
    if (status != TSM_OK) {
        return status;
    }
    r->chain.end = r->header.header_bytes;
    status = r->header.flags & SBT_FLAG_INCOMPLETE ? scan(r, err) : read_finished(r, err);
    return status == TSM_OK ? take_in(r, err) : status;
}

static tsm_status
create(sbt_source source, tsm_sbt_reader **out, tsm_error *err)
{
    tsm_sbt_reader *r = calloc(1, sizeof *r);
    tsm_status status = TSM_E_NOMEM;
    if (r == NULL) {
        if (source.fd >= 0) {
            close(source.fd);
        }
        return tsm_fail(err, status, 0, "no memory for a reader");
    }
    r->source = source;
    status = sbt_chain_create(&r->chain);
    status = status == TSM_OK ? load(r, err) : tsm_fail(err, status, 0, "no memory for a reader");
    if (status != TSM_OK) {
        tsm_sbt_reader_close(r);
        return status;
    }
    *out = r;
    return TSM_OK;
}

tsm_status
tsm_sbt_reader_open(const char *path, tsm_sbt_reader **out, tsm_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot open %s", path);
    }
    return create((sbt_source){ .fd = fd }, out, err);
}

tsm_status
tsm_sbt_reader_open_memory(const void *data, size_t size, tsm_sbt_reader **out, tsm_error *err)
{
    return create((sbt_source){ .fd = -1, .map = size == 0 ? (const uint8_t *)"" : data, .bytes = size }, out, err);
}

void
tsm_sbt_reader_close(tsm_sbt_reader *r)
{
    if (r == NULL) {
        return;
    }
    if (r->mapped) {
        munmap((void *)r->view.map, (size_t)r->view.bytes);
    }
    if (r->source.fd >= 0) {
        close(r->source.fd);
    }
    sbt_chain_destroy(&r->chain);
    free(r->source.piece);
    free(r->blocks);
    free(r->latest_end);
    free(r->earliest_begin);
    free(r);
}

tsm_status
tsm_sbt_reader_refresh(tsm_sbt_reader *r, tsm_error *err)
{
    tsm_status status = find_size(r, err);
    if (status == TSM_OK) {
        status = read_header(r, err);
    }
    if (status != TSM_OK) {
        return status;
    }
    status = scan(r, err);
    tsm_status taken = take_in(r, status == TSM_OK ? err : NULL);
    return status == TSM_OK ? taken : status;
}

void
tsm_sbt_reader_info(const tsm_sbt_reader *r, tsm_sbt_info *info)
{
    const sbt_footer *totals = &r->chain.totals;
    *info = (tsm_sbt_info){ .version_major = r->header.version_major,
                            .version_minor = r->header.version_minor,
                            .complete = r->complete,
                            .compressed = (r->header.required & SBT_FEATURE_ZSTD) != 0,
                            .file_bytes = r->source.bytes,
                            .used_bytes = r->used_bytes,
                            .event_count = totals->event_count,
                            .extension_count = totals->extension_count,
                            .block_count = r->block_count,
                            .begin_ns = totals->event_count == 0 ? 0 : totals->begin_ns,
                            .end_ns = totals->end_ns };
    memcpy(info->uuid, r->header.uuid, sizeof info->uuid);
}

tsm_tables *
tsm_sbt_reader_tables(tsm_sbt_reader *r)
{
    return r->chain.tables;
}

const tsm_sbt_block_info *
tsm_sbt_reader_block(const tsm_sbt_reader *r, size_t block)
{
    return block < r->block_count ? &r->blocks[block] : NULL;
}

const tsm_sbt_position *
tsm_sbt_reader_positions(const tsm_sbt_reader *r, size_t *count)
{
    *count = r->chain.position_count;
    return r->chain.positions;
}

tsm_status
sbt_reader_block(const tsm_sbt_reader *r, size_t index, sbt_block *out, tsm_error *err)
{
    if (index >= r->block_count) {
        return tsm_fail(err, TSM_E_ARG, 0, "block %zu of %zu", index, r->block_count);
    }
    const tsm_sbt_block_info *known = &r->blocks[index];
    sbt_source view = r->view;
    sbt_section section;
    const uint8_t *payload = NULL;
    if (sbt_section_at(&view, known->offset, &section) && section.kind == SBT_KIND_BLOCK
        && section.count == known->count && sbt_section_end(&section) == known->offset + known->bytes) {
        payload = sbt_section_payload(&view, &section);
    }
    if (payload == NULL) {
        return tsm_fail(err, TSM_E_CORRUPT, known->offset,
                        "the block at byte %llu is damaged: %u events; repair gives it up and keeps the rest",
                        (unsigned long long)known->offset, known->count);
    }
    tsm_status status = sbt_block_parse(out, payload, section.payload_bytes, known->offset, err);
    if (status == TSM_OK && (out->head.count != known->count || out->head.extension_count != known->extension_count)) {
        status = tsm_fail(err, TSM_E_CORRUPT, known->offset, "the block at byte %llu is not what the index says",
                          (unsigned long long)known->offset);
    }
    return status;
}

tsm_status
tsm_sbt_reader_read(const tsm_sbt_reader *r, size_t index, tsm_event *events, tsm_extension *extensions,
                    uint32_t *extension_rows, tsm_error *err)
{
    sbt_block block;
    tsm_status status = sbt_reader_block(r, index, &block, err);
    if (status == TSM_OK) {
        status = sbt_block_rows(&block, 0, block.head.count, events, err);
    }
    if (status == TSM_OK && extensions != NULL) {
        status = sbt_block_extensions(&block, extensions, extension_rows, err);
    }
    return status;
}

tsm_status
tsm_sbt_reader_read_columns(const tsm_sbt_reader *r, size_t index, void *const columns[TSM_EVENT_FIELD_COUNT],
                            tsm_error *err)
{
    sbt_block block;
    tsm_status status = sbt_reader_block(r, index, &block, err);
    return status == TSM_OK ? sbt_block_columns(&block, columns, err) : status;
}

static bool
starts_before(uint64_t begin_ns, uint64_t end)
{
    return begin_ns < end || end == UINT64_MAX;
}

/* Between the first block that reaches begin and the last that starts before end; in between
 * there may be others only where long events are. */
size_t
tsm_sbt_reader_find(const tsm_sbt_reader *r, uint64_t begin, uint64_t end, size_t *indices)
{
    size_t low = 0, high = r->block_count, found = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->latest_end[middle] < begin) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low; i < r->block_count && starts_before(r->earliest_begin[i], end); i++) {
        const tsm_sbt_block_info *block = &r->blocks[i];
        if (block->count > 0 && starts_before(block->begin_ns, end) && block->end_ns >= begin) {
            indices[found++] = i;
        }
    }
    return found;
}
