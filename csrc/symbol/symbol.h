/* What a program's file tells about its addresses: the names of functions, and the table by which
 * LLVM XRay numbers them. The file may hold any bytes. */
#ifndef TSM_SYMBOL_SYMBOL_H
#define TSM_SYMBOL_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* An ELF file, 64-bit and little-endian. Addresses are those in the file: where it was loaded is
 * the caller's to subtract. */
typedef struct tsm_elf tsm_elf;

TSM_NODISCARD tsm_status tsm_elf_open(const char *path, tsm_elf **out, tsm_error *err);
/* data is needed no longer than the call. */
TSM_NODISCARD tsm_status tsm_elf_open_memory(const void *data, size_t size, tsm_elf **out, tsm_error *err);
void tsm_elf_close(tsm_elf *elf); /* NULL is allowed */

/* The linker's name for this build of the file; NULL and 0 when it has none. Gone with elf. */
const uint8_t *tsm_elf_borrow_build_id(const tsm_elf *elf, size_t *size);

typedef struct {
    const char *name; /* as in the file, perhaps mangled; gone with elf */
    uint64_t address, size;
} tsm_symbol;

/* The function that holds address: of those that do, the one that begins last. A function of no
 * known size reaches to the next. False when there is none. */
TSM_NODISCARD bool tsm_elf_find(const tsm_elf *elf, uint64_t address, tsm_symbol *out);
size_t tsm_elf_symbol_count(const tsm_elf *elf);

/* Where the functions that -fxray-instrument numbered begin: function id 1 is the first. NULL and 0
 * when the file was built without. Gone with elf. */
const uint64_t *tsm_elf_borrow_xray(const tsm_elf *elf, size_t *count);

/* A C++ name as people write it, by the C++ runtime in this process or on this system. NULL when it
 * is no mangled name, or there is no such runtime: the name stays as it is. The caller frees it. */
char *tsm_demangle(const char *name);

#endif
