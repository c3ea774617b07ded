/* Any bytes as an ELF file: opened, and asked for everything. */
#include <stdlib.h>
#include <string.h>

#include "symbol/symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tsm_elf *elf;
    tsm_symbol found;
    tsm_error err;
    size_t count, bytes;
    if (tsm_elf_open_memory(data, size, &elf, &err) != TSM_OK) {
        return 0;
    }
    const uint64_t *functions = tsm_elf_borrow_xray(elf, &count);
    const uint8_t *id = tsm_elf_borrow_build_id(elf, &bytes);
    if (bytes > 64 || (id == NULL) != (bytes == 0) || tsm_elf_symbol_count(elf) > size) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        if (tsm_elf_find(elf, functions[i], &found)
            && (found.address > functions[i] || strlen(found.name) == 0 || strlen(found.name) >= size)) {
            abort();
        }
    }
    tsm_elf_close(elf);
    return 0;
}
