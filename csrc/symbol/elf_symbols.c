/* The functions of a file by address. The full table where there is one, else the dynamic one. */
#include <stdlib.h>
#include <string.h>

#include "symbol/elf.h"

static bool
is_function(const elf_symbol *symbol, const elf_piece *names)
{
    unsigned type = symbol->info & 15;
    return (type == ELF_FUNCTION || type == ELF_INDIRECT_FUNCTION) && symbol->section != 0 && symbol->name < names->size
           && names->data[symbol->name] != 0;
}

/* Of several names for one function the one that other files see is the usual one. */
static uint8_t
rank_of(const elf_symbol *symbol)
{
    unsigned binding = symbol->info >> 4;
    return binding == ELF_GLOBAL ? 2 : binding == ELF_WEAK ? 1 : 0;
}

static int
by_address(const void *left, const void *right)
{
    const elf_function *a = left, *b = right;
    if (a->address != b->address) {
        return a->address < b->address ? -1 : 1;
    }
    if (a->rank != b->rank) {
        return a->rank < b->rank ? -1 : 1;
    }
    return a->name < b->name ? 1 : a->name > b->name ? -1 : 0;
}

/* Sorted, and of those at one address the last, which ranks highest, with the largest size. */
static void
settle(tsm_elf *elf)
{
    elf_function *functions = elf->functions;
    size_t kept = 0;
    qsort(functions, elf->function_count, sizeof *functions, by_address);
    for (size_t i = 0; i < elf->function_count; i++) {
        if (kept > 0 && functions[kept - 1].address == functions[i].address) {
            uint64_t size = functions[kept - 1].size;
            functions[kept - 1] = functions[i];
            functions[kept - 1].size = size > functions[i].size ? size : functions[i].size;
        } else {
            functions[kept++] = functions[i];
        }
    }
    elf->function_count = kept;
}

static void
collect(tsm_elf *elf, const elf_piece *symbols)
{
    for (size_t i = 0; i < symbols->size / sizeof(elf_symbol); i++) {
        elf_symbol symbol;
        memcpy(&symbol, symbols->data + i * sizeof symbol, sizeof symbol);
        if (is_function(&symbol, &elf->names)) {
            elf->functions[elf->function_count++] =
                (elf_function){ symbol.address, symbol.size, symbol.name, rank_of(&symbol) };
        }
    }
    settle(elf);
}

tsm_status
elf_read_functions(tsm_elf *elf, tsm_error *err)
{
    const elf_section *table = elf_section_of_type(elf, ELF_SYMBOLS);
    elf_piece symbols;
    if (table == NULL) {
        table = elf_section_of_type(elf, ELF_DYNAMIC_SYMBOLS);
    }
    if (table == NULL || table->link >= elf->section_count) {
        return TSM_OK;
    }
    tsm_status status = elf_load(elf, &elf->sections[table->link], &elf->names, err);
    if (status != TSM_OK) {
        return status;
    }
    status = elf_load(elf, table, &symbols, err);
    if (status != TSM_OK) {
        return status;
    }
    elf->functions = malloc(symbols.size / sizeof(elf_symbol) * sizeof *elf->functions + 1);
    if (elf->functions == NULL) {
        status = tsm_fail(err, TSM_E_NOMEM, table->offset, "no memory for a symbol table of %zu bytes", symbols.size);
    } else {
        collect(elf, &symbols);
    }
    free(symbols.data);
    return status;
}

bool
tsm_elf_find(const tsm_elf *elf, uint64_t address, tsm_symbol *out)
{
    size_t low = 0, high = elf->function_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (elf->functions[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return false;
    }
    const elf_function *found = &elf->functions[low - 1];
    if (found->size != 0 && address - found->address >= found->size) {
        return false;
    }
    *out = (tsm_symbol){ (const char *)elf->names.data + found->name, found->address, found->size };
    return true;
}

size_t
tsm_elf_symbol_count(const tsm_elf *elf)
{
    return elf->function_count;
}
