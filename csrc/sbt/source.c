/* Sections where they lie: headers and checksums, and the scan that needs no index. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/bytes.h"
#include "sbt/layout.h"

static bool
read_fully(int fd, uint8_t *to, size_t bytes, uint64_t offset)
{
    while (bytes > 0) {
        ssize_t got = pread(fd, to, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        to += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return true;
}

const uint8_t *
sbt_source_borrow(sbt_source *source, uint64_t offset, uint64_t bytes)
{
    if (offset > source->bytes || bytes > source->bytes - offset) {
        return NULL;
    }
    if (source->map != NULL) {
        return source->map + offset;
    }
    if (!tsm_array_reserve(&source->piece, &source->piece_capacity, (size_t)bytes + 1)
        || !read_fully(source->fd, source->piece, (size_t)bytes, offset)) {
        return NULL;
    }
    return source->piece;
}

static tsm_status
check_version(const sbt_header *header, tsm_error *err)
{
    if (header->version_major == SBT_VERSION_MAJOR) {
        return TSM_OK;
    }
    return tsm_fail(err, TSM_E_UNSUPPORTED, offsetof(sbt_header, version_major),
                    "SBT version %u.%u; this build reads version %u", header->version_major, header->version_minor,
                    SBT_VERSION_MAJOR);
}

static tsm_status
check_features(const sbt_header *header, tsm_error *err)
{
    uint32_t unknown = header->required & ~SBT_FEATURE_ZSTD;
    if (unknown != 0) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, offsetof(sbt_header, required),
                        "the file needs feature number %d, which this build does not have; a newer one may",
                        __builtin_ctz(unknown));
    }
    if ((header->required & SBT_FEATURE_ZSTD) && !tsm_sbt_zstd_available()) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, offsetof(sbt_header, required),
                        "the file is compressed with zstd, which this build does not have");
    }
    return TSM_OK;
}

/* Magic and version come before the checksum: another version may have another header. */
tsm_status
sbt_header_check(const uint8_t *data, uint64_t bytes, sbt_header *header, tsm_error *err)
{
    size_t known = bytes < 8 ? (size_t)bytes : 8;
    if (known >= 4 && memcmp(data, SBT_MAGIC_OLD, 4) == 0) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "an SBT file of the older format 0.x: import it instead");
    }
    if (known > 0 && memcmp(data, SBT_MAGIC, known) != 0) {
        return tsm_fail(err, TSM_E_FORMAT, 0, "not an SBT file");
    }
    if (bytes < sizeof *header) {
        return tsm_fail(err, TSM_E_TRUNCATED, bytes, "%s: %llu of the %zu bytes of an SBT header",
                        bytes == 0 ? "the file is empty" : "the file ends too early", (unsigned long long)bytes,
                        sizeof *header);
    }
    memcpy(header, data, sizeof *header);
    tsm_status status = check_version(header, err);
    if (status != TSM_OK) {
        return status;
    }
    if (header->crc != tsm_crc32c(0, header, offsetof(sbt_header, crc)) || header->header_bytes < sizeof *header
        || header->header_bytes % 8 != 0) {
        return tsm_fail(err, TSM_E_CORRUPT, 0, "the file's header is damaged");
    }
    return check_features(header, err);
}

void
sbt_header_seal(sbt_header *header)
{
    header->crc = tsm_crc32c(0, header, offsetof(sbt_header, crc));
}

void
sbt_section_seal(sbt_section *section)
{
    section->crc = tsm_crc32c(0, section, offsetof(sbt_section, crc));
}

bool
sbt_section_at(sbt_source *source, uint64_t offset, sbt_section *section)
{
    const uint8_t *at = sbt_source_borrow(source, offset, sizeof *section);
    if (at == NULL) {
        return false;
    }
    memcpy(section, at, sizeof *section);
    uint64_t left = source->bytes - offset - sizeof *section;
    return section->crc == tsm_crc32c(0, section, offsetof(sbt_section, crc)) && section->offset == offset
           && section->payload_bytes <= left && sbt_padded(section->payload_bytes) <= left;
}

const uint8_t *
sbt_section_payload(sbt_source *source, const sbt_section *section)
{
    uint64_t padded = sbt_padded(section->payload_bytes);
    const uint8_t *payload = sbt_source_borrow(source, section->offset + sizeof *section, padded);
    return payload != NULL && tsm_crc32c(0, payload, padded) == section->payload_crc ? payload : NULL;
}

tsm_status
sbt_scan(sbt_chain *chain, sbt_source *source, tsm_error *err)
{
    sbt_section section;
    while (sbt_section_at(source, chain->end, &section)) {
        if (section.kind == SBT_KIND_INDEX || section.kind == SBT_KIND_FOOTER) {
            break;
        }
        const uint8_t *payload = sbt_section_payload(source, &section);
        if (payload == NULL) {
            break;
        }
        tsm_status status = sbt_chain_take(chain, &section, payload, err);
        if (status != TSM_OK) {
            return status;
        }
    }
    return TSM_OK;
}
