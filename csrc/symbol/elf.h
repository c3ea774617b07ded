/* ELF as far as we read it, our own declarations (System V ABI, 64-bit). Private to symbol/. */
#ifndef TSM_SYMBOL_ELF_H
#define TSM_SYMBOL_ELF_H

#include "symbol/symbol.h"

typedef struct {
    uint8_t magic[4], class, encoding, version, rest[9];
    uint16_t type, machine;
    uint32_t file_version;
    uint64_t entry, segments_at, sections_at;
    uint32_t flags;
    uint16_t header_bytes, segment_bytes, segment_count, section_bytes, section_count, names_section;
} elf_header;

typedef struct {
    uint32_t name, type;
    uint64_t flags, address, offset, size;
    uint32_t link, info;
    uint64_t alignment, entry_bytes;
} elf_section;

typedef struct {
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t address, size;
} elf_symbol;

typedef struct {
    uint32_t name_bytes, content_bytes, type;
} elf_note;

_Static_assert(sizeof(elf_header) == 64 && sizeof(elf_section) == 64 && sizeof(elf_symbol) == 24, "as in files");

enum { ELF_CLASS_64 = 2, ELF_LITTLE_ENDIAN = 1 };
enum { ELF_SYMBOLS = 2, ELF_NOTES = 7, ELF_NO_BITS = 8, ELF_DYNAMIC_SYMBOLS = 11 }; /* section types */
enum { ELF_SECTION_COMPRESSED = 1 << 11 };
enum { ELF_FUNCTION = 2, ELF_INDIRECT_FUNCTION = 10 }; /* symbol types, the lower half of info */
enum { ELF_LOCAL, ELF_GLOBAL, ELF_WEAK };              /* and the upper half: the binding */
enum { ELF_NOTE_BUILD_ID = 3 };

/* A piece of the file, copied and followed by a zero byte, so that every text in it ends. */
typedef struct {
    uint8_t *data;
    size_t size;
} elf_piece;

/* A function in the sorted list. name: where it begins in the names. */
typedef struct {
    uint64_t address, size;
    uint32_t name;
    uint8_t rank; /* of several at one address the highest gives the name */
} elf_function;

struct tsm_elf {
    int fd; /* -1: data */
    const uint8_t *data;
    uint64_t size; /* of the file */
    elf_section *sections;
    size_t section_count;
    elf_piece section_names;

    elf_piece names; /* of functions */
    elf_function *functions;
    size_t function_count;
    uint64_t *xray;
    size_t xray_count;
    uint8_t build_id[64];
    size_t build_id_bytes;
};

/* elf.c. The section's content; one that is not in the file is empty. */
TSM_NODISCARD tsm_status elf_load(const tsm_elf *elf, const elf_section *section, elf_piece *out, tsm_error *err);
const elf_section *elf_section_named(const tsm_elf *elf, const char *name);
const elf_section *elf_section_of_type(const tsm_elf *elf, uint32_t type);

/* elf_symbols.c, elf_xray.c */
TSM_NODISCARD tsm_status elf_read_functions(tsm_elf *elf, tsm_error *err);
TSM_NODISCARD tsm_status elf_read_xray(tsm_elf *elf, tsm_error *err);

#endif
