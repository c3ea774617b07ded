/* SBT as it lies on disk: the numbers and fixed structs of docs/sbt.md, and what the files of this
 * folder share. Private to the folder. */
#ifndef TSM_SBT_LAYOUT_H
#define TSM_SBT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sbt/sbt.h"

#define SBT_MAGIC         "\x89SBT\r\n\x1a\n"
#define SBT_MAGIC_OLD     "SBT" /* and a zero: versions 0.x */
#define SBT_VERSION_MAJOR 1
#define SBT_VERSION_MINOR 0

#define SBT_FLAG_INCOMPLETE 1u

/* Required features: a reader that does not know one must refuse the file. */
#define SBT_FEATURE_ZSTD 1u

typedef struct {
    uint8_t magic[8];
    uint16_t version_major, version_minor;
    uint32_t header_bytes; /* where the first section begins */
    uint32_t flags;
    uint32_t required, optional;
    uint32_t zero;
    uint8_t uuid[16];
    uint64_t footer; /* offset of the footer's section; 0 until the file is closed */
    uint32_t zero2;
    uint32_t crc; /* of the bytes before it */
} sbt_header;
_Static_assert(sizeof(sbt_header) == 64, "drawn in docs/sbt.md");

enum { SBT_KIND_TABLE = 1, SBT_KIND_BLOCK = 2, SBT_KIND_INDEX = 3, SBT_KIND_FOOTER = 4 };
/* Set by repair on a section whose payload is damaged; alone where the header is lost too. */
#define SBT_KIND_LOST 0x8000u

typedef struct {
    uint16_t kind;
    uint16_t table;       /* of a TABLE section; else 0 */
    uint32_t payload_crc; /* of payload and padding */
    uint64_t payload_bytes;
    uint64_t offset; /* of this very header */
    uint32_t count;  /* rows of a TABLE, events of a BLOCK; else 0 */
    uint32_t crc;    /* of the bytes before it */
} sbt_section;
_Static_assert(sizeof(sbt_section) == 32, "drawn in docs/sbt.md");

/* Limits that a reader enforces, so that no count in a file can cost more than the file's size. */
#define SBT_COLUMN_MAX 65536u /* values of one column: events or extensions of a block, rows of a section */

typedef struct {
    uint32_t count, extension_count;
    uint64_t first_event; /* written before this block */
    uint64_t begin_ns, last_ns, end_ns;
} sbt_block_head;
_Static_assert(sizeof(sbt_block_head) == 40, "drawn in docs/sbt.md");

/* One per TABLE or BLOCK section, in file order. */
typedef struct {
    uint16_t kind, table;
    uint32_t count;
    uint64_t offset, payload_bytes;
    uint64_t first_event, begin_ns, last_ns, end_ns;
    uint32_t extension_count;
    uint32_t zero;
} sbt_entry;
_Static_assert(sizeof(sbt_entry) == 64, "drawn in docs/sbt.md");

typedef struct {
    uint64_t index; /* offset of its section */
    uint64_t event_count, extension_count, block_count;
    uint64_t begin_ns, end_ns;
} sbt_footer;
_Static_assert(sizeof(sbt_footer) == 48, "drawn in docs/sbt.md");

static inline uint64_t
sbt_padded(uint64_t payload_bytes)
{
    return (payload_bytes + 7) & ~(uint64_t)7;
}

static inline uint64_t
sbt_section_end(const sbt_section *section)
{
    return section->offset + sizeof *section + sbt_padded(section->payload_bytes);
}

/* A buffer to compose into. Out of memory is remembered, so that it is asked once per section. */
typedef struct {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
} sbt_buffer;

/* Room for bytes more behind size, or NULL. */
uint8_t *sbt_buffer_room(sbt_buffer *buffer, size_t bytes);
void sbt_put(sbt_buffer *buffer, const void *data, size_t bytes);
void sbt_put_u8(sbt_buffer *buffer, uint8_t value);
void sbt_put_varint(sbt_buffer *buffer, uint64_t value);

/* ---- The chain: what is known of a file's sections, by its writer or by a reader ------------ */

typedef struct {
    tsm_tables *tables;
    sbt_entry *entries;
    size_t entry_count, entry_capacity;
    tsm_sbt_position *positions;
    size_t position_count, position_capacity;
    uint32_t *position_slots; /* hash of producer → index into positions + 1 */
    size_t position_slot_count;
    uint64_t end; /* of the last TABLE or BLOCK section */
    /* Payload bytes of sections lost with their headers, less the rows found missing since: so
     * many more may have been in them. */
    uint64_t lost_bytes;
    sbt_footer totals;
} sbt_chain;

tsm_status sbt_chain_create(sbt_chain *chain);
void sbt_chain_destroy(sbt_chain *chain);
/* Room for one more entry and so many more positions: adding them cannot fail then. */
tsm_status sbt_chain_reserve(sbt_chain *chain, size_t positions);
tsm_status sbt_chain_add_entry(sbt_chain *chain, const sbt_entry *entry);
tsm_status sbt_chain_set_position(sbt_chain *chain, const tsm_sbt_position *position);
/* A TABLE, BLOCK or unknown section whose checksum was right. */
tsm_status sbt_chain_take(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, tsm_error *err);
void sbt_chain_write_index(const sbt_chain *chain, sbt_buffer *out);
tsm_status sbt_chain_read_index(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, tsm_error *err);

/* ---- Bytes of a file ------------------------------------------------------------------------ */

/* Mapped, or read piece by piece where the file may still change under us: a mapping whose file
 * is cut off kills the process, a read just comes back short. */
typedef struct {
    int fd; /* -1: memory only */
    const uint8_t *map;
    uint64_t bytes;
    uint8_t *piece;
    size_t piece_capacity;
} sbt_source;

/* Valid until the next call. NULL when it is not there or cannot be read. */
const uint8_t *sbt_source_borrow(sbt_source *source, uint64_t offset, uint64_t bytes);

tsm_status sbt_header_check(const uint8_t *data, uint64_t bytes, sbt_header *header, tsm_error *err);
void sbt_header_seal(sbt_header *header);
void sbt_section_seal(sbt_section *section);
/* Is there a section header at offset, undamaged, whose payload ends inside the source? */
bool sbt_section_at(sbt_source *source, uint64_t offset, sbt_section *section);
/* The same with its payload, which is checked against its checksum. */
const uint8_t *sbt_section_payload(sbt_source *source, const sbt_section *section);

/* Takes in section after section from chain->end on, up to the first that is not whole. INDEX
 * and FOOTER sections end it too. */
tsm_status sbt_scan(sbt_chain *chain, sbt_source *source, tsm_error *err);

/* ---- Payloads ------------------------------------------------------------------------------- */

typedef struct sbt_encoder sbt_encoder;
tsm_status sbt_encoder_create(tsm_sbt_compression compression, sbt_encoder **out);
void sbt_encoder_destroy(sbt_encoder *encoder);

void sbt_table_encode(sbt_encoder *encoder, const tsm_tables *tables, unsigned table, uint32_t first, uint32_t count,
                      sbt_buffer *out);
/* The rows of a section, and those that a lost one before it must have had. */
tsm_status sbt_table_decode(sbt_chain *chain, const sbt_section *section, const uint8_t *payload, tsm_error *err);
/* Empty rows, so that the ids of those behind stay right. */
tsm_status sbt_table_add_lost(tsm_tables *tables, unsigned table, uint32_t count);
/* Rows that were in lost sections, that no later section tells of, and that what is left refers
 * to: adds them as empty ones, or their ids would be given out again. */
tsm_status sbt_chain_restore_rows(sbt_chain *chain, sbt_source *source, tsm_error *err);

/* A block is begun, events are added (TSM_SBT_BLOCK_EVENTS at most), and when they are sorted it can
 * be encoded, as often as needed. ahead: count events that the caller will read next, which memory
 * brings in meanwhile; where there are none, events again. */
void sbt_block_begin(sbt_encoder *encoder);
void sbt_block_add(sbt_encoder *encoder, const tsm_event *events, size_t count, const tsm_event *ahead);
/* By time and stably; costs nothing when they came in order. */
tsm_status sbt_block_sort(sbt_encoder *encoder, tsm_extension *extensions, uint32_t *rows, size_t extension_count);
void sbt_block_encode(sbt_encoder *encoder, const tsm_extension *extensions, const uint32_t *rows,
                      size_t extension_count, uint64_t first_event, const tsm_sbt_position *positions,
                      size_t position_count, sbt_buffer *out);

typedef struct {
    sbt_block_head head;
    const uint8_t *columns[TSM_EVENT_FIELD_COUNT]; /* encoded */
    size_t column_bytes[TSM_EVENT_FIELD_COUNT];
    const uint8_t *rest, *end; /* extensions, then positions */
    uint64_t offset;           /* in the file, for messages */
} sbt_block;

tsm_status sbt_block_parse(sbt_block *block, const uint8_t *payload, uint64_t payload_bytes, uint64_t offset,
                           tsm_error *err);
/* Rows [from, to) go to events[0..]. */
tsm_status sbt_block_rows(const sbt_block *block, uint32_t from, uint32_t to, tsm_event *events, tsm_error *err);
tsm_status sbt_block_columns(const sbt_block *block, void *const columns[TSM_EVENT_FIELD_COUNT], tsm_error *err);
tsm_status sbt_block_extensions(const sbt_block *block, tsm_extension *extensions, uint32_t *rows, tsm_error *err);
tsm_status sbt_block_positions(const sbt_block *block, sbt_chain *chain, tsm_error *err);

/* From the reader, for its cursor: a block, checked. */
tsm_status sbt_reader_block(const tsm_sbt_reader *reader, size_t block, sbt_block *out, tsm_error *err);

#endif
