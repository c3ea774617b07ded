/* What an imported trace said of itself, and its metadata events, as docs/events.md keeps them. */
#include <stdlib.h>

#include "export/torch.h"

static tsm_text
text_of(const torch *c, uint64_t row)
{
    return tsm_tables_borrow_text(c->tables, TSM_TABLE_STRINGS, (uint32_t)row);
}

/* ---- Members of the file */

static const char prefix[] = "chrome:";

static bool
is_member(tsm_text key)
{
    return key.size >= sizeof prefix - 1 && memcmp(key.data, prefix, sizeof prefix - 1) == 0;
}

/* A file's first event may be preceded by schemas alone: a bare list has no members. */
static bool
names_member(const torch *c, unsigned table, unsigned column)
{
    const uint32_t count = tsm_tables_count(c->tables, table);
    for (uint32_t row = 1; row < count; row++) {
        if (is_member(text_of(c, tsm_tables_borrow_row(c->tables, table, row)[column]))) {
            return true;
        }
    }
    return false;
}

bool
torch_is_imported(const torch *c)
{
    return names_member(c, TSM_TABLE_INFO, TSM_INFO_KEY) || names_member(c, TSM_TABLE_SCHEMAS, TSM_SCHEMA_FIELD);
}

static bool
is_key(tsm_text key, const char *word)
{
    return strlen(word) == key.size && memcmp(word, key.data, key.size) == 0;
}

/* These two are no members: they tell of events. */
static bool
is_about_events(tsm_text key)
{
    return is_key(key, "chrome:metadata") || is_key(key, "chrome:flow");
}

/* JSON that is known to be valid, with a space after each colon. */
static void
put_spaced(torch *c, tsm_text json)
{
    bool quoted = false;
    for (size_t i = 0; i < json.size; i++) {
        const char byte = json.data[i];
        tsm_pen_put(&c->pen, &byte, 1);
        if (quoted && byte == '\\') {
            tsm_pen_put(&c->pen, &json.data[++i], 1);
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (byte == ':' && !quoted && json.data[i + 1] != ' ') {
            tsm_pen_say(&c->pen, " ");
        }
    }
}

static void
put_member(torch *c, tsm_text key, tsm_text value)
{
    c->scratch.size = 0;
    tsm_buffer_string(&c->scratch, key.data, key.size);
    tsm_pen_put(&c->pen, c->scratch.data, c->scratch.size);
    tsm_pen_say(&c->pen, ": ");
    if (tsm_json_valid(value.data, value.size)) {
        put_spaced(c, value);
    } else {
        c->scratch.size = 0;
        tsm_buffer_string(&c->scratch, value.data, value.size);
        tsm_pen_put(&c->pen, c->scratch.data, c->scratch.size);
    }
    tsm_pen_say(&c->pen, ",\n");
}

/* A later row of a key wins. */
void
torch_put_told_members(torch *c)
{
    const uint32_t count = tsm_tables_count(c->tables, TSM_TABLE_INFO);
    const uint64_t(*rows)[2] = (const void *)tsm_tables_borrow_rows(c->tables, TSM_TABLE_INFO);
    uint32_t *last = calloc(c->strings.count, sizeof *last);
    if (last == NULL) {
        c->pieces.failed = true;
        return;
    }
    for (uint32_t row = 1; row < count; row++) {
        last[rows[row][TSM_INFO_KEY] < c->strings.count ? rows[row][TSM_INFO_KEY] : 0] = row;
    }
    for (uint32_t row = 1; row < count; row++) {
        const tsm_text key = text_of(c, rows[row][TSM_INFO_KEY]);
        if (is_member(key) && !is_about_events(key) && last[rows[row][TSM_INFO_KEY]] == row) {
            const tsm_text member = { key.data + sizeof prefix - 1, key.size - (sizeof prefix - 1) };
            put_member(c, member, text_of(c, rows[row][TSM_INFO_VALUE]));
        }
    }
    free(last);
}

static bool
enter_told_metadata(torch *c, tsm_json_walk *walk)
{
    const tsm_text list = tsm_tables_borrow_info(c->tables, "chrome:metadata");
    return tsm_json_valid(list.data, list.size) && tsm_json_enter(walk, list, '[');
}

/* Notes the name that a metadata event gives to a process or thread that really has the number 0. */
static void
note_zero(torch *c, tsm_text event)
{
    tsm_json_walk walk, args;
    tsm_text key, value, name = { "", 0 };
    bool process = false, thread = false, zero_pid = false, zero_tid = false;
    if (!tsm_json_enter(&walk, event, '{')) {
        return;
    }
    while (tsm_json_next(&walk, &key, &value)) {
        process |= is_key(key, "\"name\"") && is_key(value, "\"process_name\"");
        thread |= is_key(key, "\"name\"") && is_key(value, "\"thread_name\"");
        zero_pid |= is_key(key, "\"pid\"") && is_key(value, "0");
        zero_tid |= is_key(key, "\"tid\"") && is_key(value, "0");
        if (is_key(key, "\"args\"") && tsm_json_enter(&args, value, '{') && tsm_json_next(&args, &key, &value)) {
            name = value;
        }
    }
    if ((process && zero_pid) || (thread && zero_tid)) {
        tsm_buffer_put(&c->zero_names, process ? "\np" : "\nt", 2);
        tsm_buffer_put(&c->zero_names, name.data, name.size);
        tsm_buffer_put(&c->zero_names, "\n", 1);
    }
}

static void
find_zeros(torch *c)
{
    tsm_json_walk walk;
    tsm_text event;
    if (!enter_told_metadata(c, &walk)) {
        return;
    }
    while (tsm_json_next(&walk, NULL, &event)) {
        note_zero(c, event);
    }
}

/* What the arrows from calls to their work are called: ["ac2g", "ac2g"] */
static void
find_flow_words(torch *c)
{
    tsm_text told = tsm_tables_borrow_info(c->tables, "chrome:flow"), category, name;
    tsm_json_walk walk;
    c->flow_category = c->flow_name = torch_copy(c, (tsm_text){ "\"ac2g\"", 6 });
    if (tsm_json_valid(told.data, told.size) && tsm_json_enter(&walk, told, '[')
        && tsm_json_next(&walk, NULL, &category) && tsm_json_next(&walk, NULL, &name)) {
        c->flow_category = torch_copy(c, category);
        c->flow_name = torch_copy(c, name);
    }
}

void
torch_find_told(torch *c)
{
    find_flow_words(c);
    find_zeros(c);
}

/* ---- Metadata events */

static bool
same_text(tsm_text a, tsm_text b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* The row of the process whose pid is that text; 0: there is none. */
static uint32_t
text_process(torch *c, tsm_text text)
{
    for (uint32_t row = 1; row < c->processes.count; row++) {
        const uint64_t *process = tsm_tables_borrow_row(c->tables, TSM_TABLE_PROCESSES, row);
        if (torch_is_text(c, process) && same_text(text_of(c, process[TSM_PROCESS_NAME]), text)) {
            return row;
        }
    }
    return 0;
}

/* The number in which a text ends, as in 'stream 7'. False: it ends in none. */
static bool
trailing_number(tsm_text text, size_t *digits, int64_t *number)
{
    const char *end = text.data + text.size, *at = end;
    while (at > text.data && end - at < 18 && at[-1] >= '0' && at[-1] <= '9') {
        at--;
    }
    *digits = (size_t)(end - at);
    *number = 0;
    for (; at < end; at++) {
        *number = *number * 10 + (*at - '0');
    }
    return *digits > 0;
}

/* The numbers that stand for a pid or tid which was a text (docs/events.md). */
static int64_t
text_pid(torch *c, tsm_text text)
{
    size_t digits;
    int64_t number;
    if (trailing_number(text, &digits, &number) && digits == text.size) {
        return number;
    }
    const uint32_t row = text_process(c, text);
    return row == 0 ? TORCH_TEXT_PIDS : torch_process_track(c, row)->pid;
}

static int64_t
text_tid(torch *c, tsm_text text)
{
    size_t digits;
    int64_t number;
    if (trailing_number(text, &digits, &number)) {
        return number;
    }
    for (uint32_t row = 1; row < c->threads.count; row++) {
        const uint64_t *thread = tsm_tables_borrow_row(c->tables, TSM_TABLE_THREADS, row);
        if (torch_is_text_thread(c, thread) && same_text(text_of(c, thread[TSM_THREAD_NAME]), text)) {
            return torch_thread_track(c, row)->tid;
        }
    }
    return 0;
}

/* As it was, but for a pid or tid that was a text: speedscope and others read integers only. */
static void
put_told_event(torch *c, tsm_text event)
{
    tsm_json_walk walk;
    tsm_text key, value;
    if (!tsm_json_enter(&walk, event, '{')) {
        return;
    }
    tsm_pen_put(&c->pen, c->any ? ",\n{" : "{", c->any ? 3 : 1);
    c->any = true;
    for (bool first = true; tsm_json_next(&walk, &key, &value); first = false) {
        tsm_pen_put(&c->pen, ",", first ? 0 : 1);
        tsm_pen_put(&c->pen, key.data, key.size);
        tsm_pen_say(&c->pen, ":");
        const bool quoted = value.size >= 2 && value.data[0] == '"', pid = is_key(key, "\"pid\"");
        if (quoted && (pid || is_key(key, "\"tid\""))) {
            const tsm_text text = { value.data + 1, value.size - 2 };
            const int64_t number = pid ? text_pid(c, text) : text_tid(c, text);
            c->pen.at = tsm_print_i64(tsm_pen_room(&c->pen, TSM_NUMBER_CHARS), number);
        } else {
            tsm_pen_put(&c->pen, value.data, value.size);
        }
    }
    tsm_pen_say(&c->pen, "}");
}

/* Processes and threads that the file knew by a text only have numbers now, and need its name. */
static void
put_texts(torch *c)
{
    for (uint32_t row = 1; row < c->processes.count; row++) {
        const uint64_t *process = tsm_tables_borrow_row(c->tables, TSM_TABLE_PROCESSES, row);
        if (torch_is_text(c, process)) {
            torch_put_name(c, "process_name", torch_process_track(c, row), process[TSM_PROCESS_NAME], "", 0);
        }
    }
    for (uint32_t row = 1; row < c->threads.count; row++) {
        const uint64_t *thread = tsm_tables_borrow_row(c->tables, TSM_TABLE_THREADS, row);
        if (torch_is_text_thread(c, thread)) {
            torch_put_name(c, "thread_name", torch_thread_track(c, row), thread[TSM_THREAD_NAME], "", 0);
        }
    }
}

void
torch_put_told_metadata(torch *c)
{
    tsm_json_walk walk;
    tsm_text event;
    const bool any = enter_told_metadata(c, &walk);
    while (any && tsm_json_next(&walk, NULL, &event)) {
        put_told_event(c, event);
    }
    put_texts(c);
}
