#include "base/array.h"
#include "export/perfetto.h"

#define STACK_FRAMES_MAX 8192

static const char *const words[] = {
#define X(name, text) [PF_WORD_##name] = (text),
    PF_WORDS(X)
#undef X
};

static const uint32_t space_fields[PF_SPACES] = {
    [PF_NAMES] = 2,   [PF_CATEGORIES] = 1, [PF_ANNOTATIONS] = 3, [PF_ARGUMENTS] = 1001,
    [PF_VALUES] = 29, [PF_FUNCTIONS] = 5,  [PF_SOURCES] = 18,    [PF_PATHS] = 17,
};

tsm_text
pf_string(const pf_writer *w, uint64_t string)
{
    return tsm_tables_borrow_text(w->tables, TSM_TABLE_STRINGS, string > UINT32_MAX ? 0 : (uint32_t)string);
}

const uint64_t *
pf_row(const pf_writer *w, unsigned table, uint64_t row)
{
    return tsm_tables_borrow_row(w->tables, table, row > UINT32_MAX ? 0 : (uint32_t)row);
}

/* All of them are {iid = 1, text = 2}. */
static uint32_t
intern_text(pf_writer *w, unsigned space, tsm_text text)
{
    uint32_t id = ++w->spaces[space].last;
    uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
    uint8_t *entry = tsm_pb_begin(data, space_fields[space]);
    uint8_t *at = pf_text(tsm_pb_uint(entry, 1, id), 2, text);
    pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at)));
    return id;
}

static uint32_t
intern_literal(pf_writer *w, unsigned space, const char *text)
{
    return intern_text(w, space, (tsm_text){ text, strlen(text) });
}

uint32_t
pf_intern_new(pf_writer *w, unsigned space, uint32_t string)
{
    string = pf_known(w, TSM_TABLE_STRINGS, string);
    if (pf_rows_get(&w->spaces[space].rows, string) != 0) {
        return pf_rows_get(&w->spaces[space].rows, string);
    }
    uint32_t id = intern_text(w, space, pf_string(w, string));
    return pf_rows_set(w, &w->spaces[space].rows, string, id) ? id : 0;
}

uint32_t
pf_word(pf_writer *w, unsigned space, unsigned word)
{
    uint32_t *id = &w->spaces[space].words[word];
    if (*id == 0) {
        *id = intern_literal(w, space, words[word]);
    }
    return *id;
}

uint32_t
pf_type_name_new(pf_writer *w, unsigned space, uint16_t type)
{
    return w->spaces[space].types[type] = intern_literal(w, space, tsm_event_type_name(type));
}

/* Frames must lie in a mapping; ours know no addresses of libraries, so one of no name serves. */
static uint32_t
the_mapping(pf_writer *w)
{
    if (w->last_mapping == 0) {
        uint32_t path = intern_literal(w, PF_PATHS, "trace");
        uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
        uint8_t *entry = tsm_pb_begin(data, PF_INTERNED_MAPPINGS);
        uint8_t *at = tsm_pb_uint(entry, 1, w->last_mapping = 1);
        at = tsm_pb_uint(at, 7, path);
        pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at)));
    }
    return w->last_mapping;
}

static uint32_t
intern_frame(pf_writer *w, uint32_t frame)
{
    const uint64_t *row = pf_row(w, TSM_TABLE_FRAMES, frame);
    uint64_t line = row[TSM_FRAME_LINE], address = row[TSM_FRAME_ADDRESS];
    uint32_t file = (uint32_t)row[TSM_FRAME_FILE];
    uint32_t function = pf_intern(w, PF_FUNCTIONS, (uint32_t)row[TSM_FRAME_FUNCTION]);
    uint32_t source = file != 0 ? pf_intern(w, PF_SOURCES, file) : 0;
    uint32_t mapping = the_mapping(w), id = ++w->last_frame;
    uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
    uint8_t *entry = tsm_pb_begin(data, PF_INTERNED_FRAMES);
    uint8_t *at = tsm_pb_uint(entry, 1, id);
    at = tsm_pb_uint(at, 2, function);
    at = tsm_pb_uint(at, 3, mapping);
    /* Readers tell frames apart by mapping and address. Without an address the number serves. */
    at = tsm_pb_uint(at, 4, address != 0 ? address : id);
    if (source != 0) {
        at = tsm_pb_uint(at, 5, source);
    }
    if (line != 0) {
        at = tsm_pb_uint(at, 6, line & UINT32_MAX);
    }
    pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at)));
    return pf_rows_set(w, &w->frames, frame, id) ? id : 0;
}

/* The frames of a stack, leaf first; parents have smaller rows, so a damaged chain ends too. */
static size_t
collect_frames(pf_writer *w, uint32_t stack)
{
    size_t count = 0;
    while (stack != 0 && count < STACK_FRAMES_MAX && !w->failed) {
        const uint64_t *row = pf_row(w, TSM_TABLE_STACKS, stack);
        uint32_t parent = (uint32_t)row[TSM_STACK_PARENT], frame = (uint32_t)row[TSM_STACK_FRAME];
        if (!tsm_array_reserve(&w->frame_ids, &w->frame_capacity, count + 1)) {
            w->failed = true;
            break;
        }
        uint32_t id = pf_rows_get(&w->frames, frame);
        w->frame_ids[count++] = id != 0 ? id : intern_frame(w, frame);
        stack = parent < stack ? parent : 0;
    }
    return count;
}

uint32_t
pf_stack(pf_writer *w, uint32_t stack)
{
    stack = pf_known(w, TSM_TABLE_STACKS, stack);
    uint32_t id = pf_rows_get(&w->stacks, stack);
    if (stack == 0 || id != 0) {
        return id;
    }
    size_t count = collect_frames(w, stack);
    id = w->last_stack + 1;
    if (count == 0 || !pf_rows_set(w, &w->stacks, stack, id)) {
        return 0;
    }
    w->last_stack = id;
    uint8_t *data = tsm_pb_begin(pf_packet_begin(w), PF_PACKET_INTERNED);
    uint8_t *entry = tsm_pb_begin(data, PF_INTERNED_STACKS);
    uint8_t *at = tsm_pb_uint(entry, 1, id);
    while (count > 0) {
        at = tsm_pb_uint(at, 2, w->frame_ids[--count]);
    }
    pf_packet_end(w, tsm_pb_end(data, tsm_pb_end(entry, at)));
    return id;
}
