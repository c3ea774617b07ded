/* Opens the file, finds its sections, and copies those that are asked for: a file that changes
 * meanwhile is wrong, not dangerous. */
#include "symbol/elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static tsm_status
read_file(const tsm_elf *elf, uint64_t offset, uint8_t *to, size_t size, tsm_error *err)
{
    while (size > 0) {
        ssize_t got = pread(elf->fd, to, size, (off_t)offset);
        if (got < 0 && errno != EINTR) {
            return tsm_fail_errno(err, TSM_E_IO, "cannot read %zu bytes at %llu", size, (unsigned long long)offset);
        }
        if (got == 0) {
            return tsm_fail(err, TSM_E_TRUNCATED, offset, "the file became shorter while it was read");
        }
        if (got > 0) {
            to += got;
            offset += (uint64_t)got;
            size -= (size_t)got;
        }
    }
    return TSM_OK;
}

static tsm_status
load(const tsm_elf *elf, uint64_t offset, uint64_t size, elf_piece *out, tsm_error *err)
{
    if (offset > elf->size || size > elf->size - offset) {
        return tsm_fail(err, TSM_E_TRUNCATED, offset, "an ELF file of %llu bytes speaks of %llu bytes at %llu",
                        (unsigned long long)elf->size, (unsigned long long)size, (unsigned long long)offset);
    }
    uint8_t *data = malloc((size_t)size + 1);
    if (data == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, offset, "no memory for %llu bytes of an ELF file", (unsigned long long)size);
    }
    data[size] = 0;
    tsm_status status = TSM_OK;
    if (elf->fd >= 0) {
        status = read_file(elf, offset, data, (size_t)size, err);
    } else {
        memcpy(data, elf->data + offset, (size_t)size);
    }
    if (status != TSM_OK) {
        free(data);
        return status;
    }
    *out = (elf_piece){ data, (size_t)size };
    return TSM_OK;
}

tsm_status
elf_load(const tsm_elf *elf, const elf_section *section, elf_piece *out, tsm_error *err)
{
    if (section->flags & ELF_SECTION_COMPRESSED) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, section->offset, "a compressed section where symbols are plain");
    }
    return load(elf, section->offset, section->type == ELF_NO_BITS ? 0 : section->size, out, err);
}

const elf_section *
elf_section_named(const tsm_elf *elf, const char *name)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        uint32_t at = elf->sections[i].name;
        if (at < elf->section_names.size && strcmp((const char *)elf->section_names.data + at, name) == 0) {
            return &elf->sections[i];
        }
    }
    return NULL;
}

const elf_section *
elf_section_of_type(const tsm_elf *elf, uint32_t type)
{
    for (size_t i = 0; i < elf->section_count; i++) {
        if (elf->sections[i].type == type) {
            return &elf->sections[i];
        }
    }
    return NULL;
}

static tsm_status
read_header(const tsm_elf *elf, elf_header *header, tsm_error *err)
{
    elf_piece piece;
    static const uint8_t magic[4] = { 0x7f, 'E', 'L', 'F' };
    tsm_status status = load(elf, 0, elf->size < sizeof *header ? elf->size : sizeof *header, &piece, err);
    if (status != TSM_OK) {
        return status;
    }
    memset(header, 0, sizeof *header);
    memcpy(header, piece.data, piece.size);
    free(piece.data);
    if (memcmp(header->magic, magic, sizeof magic) != 0) {
        return tsm_fail(err, TSM_E_FORMAT, 0, "not an ELF file: it does not begin with 7f 45 4c 46");
    }
    if (header->class != ELF_CLASS_64 || header->encoding != ELF_LITTLE_ENDIAN) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 4, "a %s-bit %s-endian ELF file; 64-bit little-endian ones are read",
                        header->class == ELF_CLASS_64 ? "64" : "32",
                        header->encoding == ELF_LITTLE_ENDIAN ? "little" : "big");
    }
    return elf->size < sizeof *header ? tsm_fail(err, TSM_E_TRUNCATED, elf->size, "the ELF header is cut off") : TSM_OK;
}

/* Counts that do not fit into the header are in the section of number 0. */
static tsm_status
read_sections(tsm_elf *elf, const elf_header *header, tsm_error *err)
{
    elf_piece first, all;
    if (header->sections_at == 0) {
        return TSM_OK;
    }
    if (header->section_bytes != sizeof(elf_section)) {
        return tsm_fail(err, TSM_E_CORRUPT, 58, "section headers of %u bytes, not 64", header->section_bytes);
    }
    tsm_status status = load(elf, header->sections_at, sizeof(elf_section), &first, err);
    if (status != TSM_OK) {
        return status;
    }
    elf_section zero;
    memcpy(&zero, first.data, sizeof zero);
    free(first.data);
    uint64_t count = header->section_count != 0 ? header->section_count : zero.size;
    uint32_t names = header->names_section != 0xffff ? header->names_section : zero.link;
    if (count > elf->size / sizeof(elf_section)) {
        return tsm_fail(err, TSM_E_CORRUPT, header->sections_at, "%llu sections in a file of %llu bytes",
                        (unsigned long long)count, (unsigned long long)elf->size);
    }
    status = load(elf, header->sections_at, count * sizeof(elf_section), &all, err);
    if (status != TSM_OK) {
        return status;
    }
    elf->sections = (elf_section *)(void *)all.data;
    elf->section_count = (size_t)count;
    return names < count ? elf_load(elf, &elf->sections[names], &elf->section_names, err) : TSM_OK;
}

static void
find_build_id(tsm_elf *elf, const elf_piece *notes)
{
    size_t at = 0;
    while (notes->size - at >= sizeof(elf_note)) {
        elf_note note;
        memcpy(&note, notes->data + at, sizeof note);
        at += sizeof note;
        uint64_t name_bytes = ((uint64_t)note.name_bytes + 3) & ~(uint64_t)3;
        uint64_t content = ((uint64_t)note.content_bytes + 3) & ~(uint64_t)3;
        if (name_bytes > notes->size - at || note.content_bytes > notes->size - at - name_bytes) {
            return;
        }
        const uint8_t *name = notes->data + at, *id = name + name_bytes;
        if (note.type == ELF_NOTE_BUILD_ID && note.name_bytes == 4 && memcmp(name, "GNU", 4) == 0
            && note.content_bytes <= sizeof elf->build_id) {
            memcpy(elf->build_id, id, note.content_bytes);
            elf->build_id_bytes = note.content_bytes;
            return;
        }
        uint64_t left = notes->size - at - name_bytes;
        at += (size_t)(name_bytes + (content < left ? content : left));
    }
}

static tsm_status
read_build_id(tsm_elf *elf, tsm_error *err)
{
    tsm_status status = TSM_OK;
    for (size_t i = 0; i < elf->section_count && elf->build_id_bytes == 0 && status == TSM_OK; i++) {
        elf_piece notes;
        if (elf->sections[i].type == ELF_NOTES) {
            status = elf_load(elf, &elf->sections[i], &notes, err);
            if (status == TSM_OK) {
                find_build_id(elf, &notes);
                free(notes.data);
            }
        }
    }
    return status;
}

static tsm_status
read_elf(tsm_elf *elf, tsm_error *err)
{
    elf_header header;
    tsm_status status = read_header(elf, &header, err);
    status = status == TSM_OK ? read_sections(elf, &header, err) : status;
    status = status == TSM_OK ? elf_read_functions(elf, err) : status;
    status = status == TSM_OK ? elf_read_xray(elf, err) : status;
    return status == TSM_OK ? read_build_id(elf, err) : status;
}

static tsm_status
open_elf(const tsm_elf *from, tsm_elf **out, tsm_error *err)
{
    tsm_elf *elf = malloc(sizeof *elf);
    if (elf == NULL) {
        return tsm_fail(err, TSM_E_NOMEM, 0, "no memory to read an ELF file");
    }
    *elf = *from;
    tsm_status status = read_elf(elf, err);
    elf->fd = -1;
    elf->data = NULL;
    if (status != TSM_OK) {
        tsm_elf_close(elf);
        return status;
    }
    *out = elf;
    return TSM_OK;
}

tsm_status
tsm_elf_open_memory(const void *data, size_t size, tsm_elf **out, tsm_error *err)
{
    return open_elf(&(tsm_elf){ .fd = -1, .data = data, .size = size }, out, err);
}

tsm_status
tsm_elf_open(const char *path, tsm_elf **out, tsm_error *err)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot open %s", path);
    }
    tsm_status status;
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        status = tsm_fail(err, TSM_E_IO, 0, "%s is no regular file", path);
    } else {
        status = open_elf(&(tsm_elf){ .fd = fd, .size = (uint64_t)about.st_size }, out, err);
    }
    close(fd);
    return status;
}

void
tsm_elf_close(tsm_elf *elf)
{
    if (elf != NULL) {
        free(elf->sections);
        free(elf->section_names.data);
        free(elf->names.data);
        free(elf->functions);
        free(elf->xray);
        free(elf);
    }
}

const uint8_t *
tsm_elf_borrow_build_id(const tsm_elf *elf, size_t *size)
{
    *size = elf->build_id_bytes;
    return elf->build_id_bytes == 0 ? NULL : elf->build_id;
}
