/* The instrumentation map that -fxray-instrument leaves in a file: one entry for each place that
 * can be patched, those of a function in a row. Functions are numbered from 1 in that order, which
 * is how the runtime in the program does it too.
 *
 *   0        8         16    17      18       19 ... 32
 *   | place  | function | kind | always | version | zeros |
 *
 * From version 2 on, both addresses are relative to where they stand. */
#include <stdlib.h>

#include "base/bytes.h"
#include "symbol/elf.h"

enum { ENTRY_BYTES = 32, FUNCTION_AT = 8, VERSION_AT = 18, RELATIVE_FROM_VERSION = 2 };

static uint64_t
function_of(const uint8_t *entry, uint64_t address)
{
    uint64_t function = tsm_load_u64(entry + FUNCTION_AT);
    return entry[VERSION_AT] >= RELATIVE_FROM_VERSION ? function + address + FUNCTION_AT : function;
}

tsm_status
elf_read_xray(tsm_elf *elf, tsm_error *err)
{
    const elf_section *section = elf_section_named(elf, "xray_instr_map");
    elf_piece map;
    if (section == NULL) {
        return TSM_OK;
    }
    tsm_status status = elf_load(elf, section, &map, err);
    if (status != TSM_OK) {
        return status;
    }
    size_t entries = map.size / ENTRY_BYTES;
    elf->xray = malloc(entries * sizeof *elf->xray + 1);
    for (size_t i = 0; elf->xray != NULL && i < entries; i++) {
        uint64_t function = function_of(map.data + i * ENTRY_BYTES, section->address + i * ENTRY_BYTES);
        if (elf->xray_count == 0 || elf->xray[elf->xray_count - 1] != function) {
            elf->xray[elf->xray_count++] = function;
        }
    }
    free(map.data);
    return elf->xray != NULL ? TSM_OK
                             : tsm_fail(err, TSM_E_NOMEM, section->offset, "no memory for %zu entries", entries);
}

const uint64_t *
tsm_elf_borrow_xray(const tsm_elf *elf, size_t *count)
{
    *count = elf->xray_count;
    return elf->xray;
}
