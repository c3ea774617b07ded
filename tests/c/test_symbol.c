/* ELF files that are made here, piece by piece, and this program itself. */
#include <unistd.h>

#include "symbol/elf.h"
#include "unit.h"

enum { SECTIONS = 6, NAMES = 1, SYMBOLS, STRINGS, MAP, NOTE };
enum { MAP_ADDRESS = 0x5000, SYMBOL_COUNT = 7 };

static const char section_names[] = "\0.shstrtab\0.symtab\0.strtab\0xray_instr_map\0.note";
static const char strings[] = "\0alias\0first\0second\0_ZN4shop3fibEi\0data\0local";

typedef struct {
    elf_header header;
    elf_section sections[SECTIONS];
    elf_symbol symbols[SYMBOL_COUNT];
    uint64_t map[4][4];
    struct {
        elf_note note;
        char name[4];
        uint8_t id[20];
    } build_id;
    char section_names[sizeof section_names], strings[sizeof strings];
} image;

static elf_section
section(uint32_t name, uint32_t type, uint64_t offset, uint64_t size)
{
    return (elf_section){ .name = name, .type = type, .offset = offset, .size = size };
}

static elf_symbol
symbol(uint32_t name, unsigned binding, unsigned type, uint64_t address, uint64_t size)
{
    return (elf_symbol){ name, (uint8_t)(binding << 4 | type), 0, 1, address, size };
}

/* An entry whose addresses are relative to where they stand, as in version 2. */
static void
map_entry(image *made, unsigned i, uint64_t function)
{
    uint64_t at = MAP_ADDRESS + i * sizeof made->map[0];
    made->map[i][0] = function - at;
    made->map[i][1] = function - (at + 8);
    made->map[i][2] = 2 << 16;
    made->map[i][3] = 0;
}

static image
make_image(void)
{
    image made = { .header = { .magic = { 0x7f, 'E', 'L', 'F' },
                               .class = ELF_CLASS_64,
                               .encoding = ELF_LITTLE_ENDIAN,
                               .sections_at = offsetof(image, sections),
                               .section_bytes = sizeof(elf_section),
                               .section_count = SECTIONS,
                               .names_section = NAMES } };
    made.sections[NAMES] = section(1, 3, offsetof(image, section_names), sizeof section_names);
    made.sections[SYMBOLS] = section(11, ELF_SYMBOLS, offsetof(image, symbols), sizeof made.symbols);
    made.sections[SYMBOLS].link = STRINGS;
    made.sections[STRINGS] = section(19, 3, offsetof(image, strings), sizeof strings);
    made.sections[MAP] = section(27, 1, offsetof(image, map), sizeof made.map);
    made.sections[MAP].address = MAP_ADDRESS;
    made.sections[NOTE] = section(42, ELF_NOTES, offsetof(image, build_id), sizeof made.build_id);
    made.symbols[1] = symbol(13, ELF_GLOBAL, ELF_FUNCTION, 0x2000, 0x10); /* second */
    made.symbols[2] = symbol(1, ELF_LOCAL, ELF_FUNCTION, 0x1000, 0);      /* alias */
    made.symbols[3] = symbol(7, ELF_GLOBAL, ELF_FUNCTION, 0x1000, 0x20);  /* first */
    made.symbols[4] = symbol(20, ELF_WEAK, ELF_FUNCTION, 0x3000, 0);      /* fib */
    made.symbols[5] = symbol(35, ELF_GLOBAL, 1, 0x1008, 8);               /* data: no function */
    made.symbols[6] = symbol(40, ELF_LOCAL, ELF_FUNCTION, 0x1010, 4);     /* local */
    map_entry(&made, 0, 0x2000);
    map_entry(&made, 1, 0x2000);
    map_entry(&made, 2, 0x1000);
    map_entry(&made, 3, 0x2000);
    made.build_id.note = (elf_note){ 4, sizeof made.build_id.id, ELF_NOTE_BUILD_ID };
    memcpy(made.build_id.name, "GNU", 4);
    memset(made.build_id.id, 0xab, sizeof made.build_id.id);
    memcpy(made.section_names, section_names, sizeof section_names);
    memcpy(made.strings, strings, sizeof strings);
    return made;
}

static void
check_name(const tsm_elf *elf, uint64_t address, const char *name)
{
    tsm_symbol found = { 0 };
    bool is_there = tsm_elf_find(elf, address, &found);
    CHECK(is_there == (name != NULL));
    CHECK(!is_there || (strcmp(found.name, name) == 0 && found.address <= address));
}

static void
functions_are_found_by_address(void)
{
    image made = make_image();
    tsm_elf *elf;
    CHECK_EQUAL(tsm_elf_open_memory(&made, sizeof made, &elf, NULL), TSM_OK);
    CHECK_EQUAL(tsm_elf_symbol_count(elf), 4);
    check_name(elf, 0xfff, NULL);
    check_name(elf, 0x1000, "first");
    check_name(elf, 0x100f, "first");
    check_name(elf, 0x1013, "local");
    check_name(elf, 0x2000, "second");
    check_name(elf, 0x200f, "second");
    check_name(elf, 0x2010, NULL);
    check_name(elf, 0x3000, "_ZN4shop3fibEi");
    check_name(elf, UINT64_MAX, "_ZN4shop3fibEi");
    tsm_elf_close(elf);
}

static void
the_map_numbers_functions_that_change(void)
{
    image made = make_image();
    tsm_elf *elf;
    size_t count, id_bytes;
    CHECK_EQUAL(tsm_elf_open_memory(&made, sizeof made, &elf, NULL), TSM_OK);
    const uint64_t *functions = tsm_elf_borrow_xray(elf, &count);
    CHECK_EQUAL(count, 3);
    CHECK_EQUAL(functions[0], 0x2000);
    CHECK_EQUAL(functions[1], 0x1000);
    CHECK_EQUAL(functions[2], 0x2000);
    const uint8_t *id = tsm_elf_borrow_build_id(elf, &id_bytes);
    CHECK_EQUAL(id_bytes, 20);
    CHECK(memcmp(id, made.build_id.id, 20) == 0);
    tsm_elf_close(elf);
}

static void
absolute_addresses_of_old_maps_are_taken_as_they_are(void)
{
    image made = make_image();
    tsm_elf *elf;
    size_t count;
    for (unsigned i = 0; i < 4; i++) {
        made.map[i][1] = 0x1000;
        made.map[i][2] = (uint64_t)(i % 2) << 16;
    }
    CHECK_EQUAL(tsm_elf_open_memory(&made, sizeof made, &elf, NULL), TSM_OK);
    CHECK_EQUAL(tsm_elf_borrow_xray(elf, &count)[0], 0x1000);
    CHECK_EQUAL(count, 1);
    tsm_elf_close(elf);
}

static void
other_files_are_refused_by_name(void)
{
    image made = make_image();
    tsm_error err;
    tsm_elf *elf;
    made.header.class = 1;
    CHECK_EQUAL(tsm_elf_open_memory(&made, sizeof made, &elf, &err), TSM_E_UNSUPPORTED);
    CHECK(strstr(err.text, "32-bit little-endian") != NULL);
    made.header.class = 2;
    made.header.encoding = 2;
    CHECK_EQUAL(tsm_elf_open_memory(&made, sizeof made, &elf, &err), TSM_E_UNSUPPORTED);
    CHECK(strstr(err.text, "64-bit big-endian") != NULL);
    made.header.magic[0] = 0;
    CHECK_EQUAL(tsm_elf_open_memory(&made, sizeof made, &elf, &err), TSM_E_FORMAT);
    CHECK_EQUAL(tsm_elf_open("/", &elf, &err), TSM_E_IO);
}

static void
open_and_ask(const void *data, size_t size)
{
    unsigned char *copy = malloc(size + 1); /* so that a sanitizer sees what is read beyond */
    tsm_symbol found;
    tsm_elf *elf;
    size_t count;
    memcpy(copy, data, size);
    if (tsm_elf_open_memory(copy, size, &elf, NULL) == TSM_OK) {
        for (uint64_t address = 0; address < 0x4000; address += 0x7f) {
            CHECK(!tsm_elf_find(elf, address, &found) || strlen(found.name) < size);
        }
        (void)tsm_elf_borrow_xray(elf, &count);
        CHECK(count <= size / 32);
        tsm_elf_close(elf);
    }
    free(copy);
}

static void
cut_or_changed_anywhere_does_no_harm(void)
{
    static const unsigned char changes[] = { 1, 0x80, 0xff, 0x40 };
    image made = make_image();
    for (size_t size = 0; size < sizeof made; size++) {
        open_and_ask(&made, size);
    }
    for (size_t at = 0; at < sizeof made; at++) {
        for (size_t i = 0; i < sizeof changes; i++) {
            image changed = made;
            ((unsigned char *)&changed)[at] ^= changes[i];
            open_and_ask(&changed, sizeof changed);
        }
    }
}

static void
this_program_is_read(void)
{
    char path[512];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    CHECK(size > 0);
    path[size] = 0;
    tsm_elf *elf;
    tsm_error err;
    CHECK_EQUAL(tsm_elf_open(path, &elf, &err), TSM_OK);
    CHECK(tsm_elf_symbol_count(elf) > 10);
    bool found = false;
    for (size_t i = 0; i < elf->function_count; i++) {
        found |= strcmp((const char *)elf->names.data + elf->functions[i].name, "tsm_elf_find") == 0;
        CHECK(i == 0 || elf->functions[i - 1].address < elf->functions[i].address);
    }
    CHECK(found);
    tsm_elf_close(elf);
}

static void
names_are_demangled_where_a_runtime_is(void)
{
    char *plain = tsm_demangle("_ZN4shop3fibEi");
    CHECK(plain == NULL || strcmp(plain, "shop::fib(int)") == 0);
    free(plain);
    CHECK(tsm_demangle("main") == NULL);
    CHECK(tsm_demangle("_Z") == NULL);
    CHECK(tsm_demangle("_Zqqq") == NULL);
}

int
main(int argc, char **argv)
{
    static const unit_test tests[] = {
        UNIT(functions_are_found_by_address),
        UNIT(the_map_numbers_functions_that_change),
        UNIT(absolute_addresses_of_old_maps_are_taken_as_they_are),
        UNIT(other_files_are_refused_by_name),
        UNIT(cut_or_changed_anywhere_does_no_harm),
        UNIT(this_program_is_read),
        UNIT(names_are_demangled_where_a_runtime_is),
    };
    return unit_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
