#include <string.h>

#include "base/array.h"
#include "ingest/chrome.h"

/* A value for a word: a second one of the same name replaces the first. */
static bool
put_arg(chrome_importer *im, chrome_args *args, uint32_t key, const json_value *value, uint32_t serial)
{
    chrome_word *word = &im->arguments.words[key];
    if (word->serial == serial) {
        args->items[word->place].value = *value;
        return true;
    }
    if (!tsm_array_reserve(&args->items, &args->capacity, args->count + 1)) {
        chrome_note(im, TSM_E_NOMEM);
        return false;
    }
    word->serial = serial;
    word->place = (uint32_t)args->count;
    args->items[args->count++] = (chrome_arg){ key, *value };
    return true;
}

static bool
read_word(chrome_importer *im, uint32_t *word)
{
    json_cursor *c = &im->json;
    json_text key;
    json_skip_space(c);
    *word = *c->at == '"' ? chrome_words_guess(&im->arguments, c->at + 1, c->end) : UINT32_MAX;
    if (*word != UINT32_MAX) {
        c->at += im->arguments.words[*word].size + 2;
        return json_take(c, ':') || json_fail(c, "':'");
    }
    if (!json_key(c, &key)) {
        return false;
    }
    *word = chrome_words_find(im, &im->arguments, key.data, key.size);
    return *word != UINT32_MAX;
}

static bool
read_args(chrome_importer *im, chrome_event *event)
{
    json_cursor *c = &im->json;
    bool more = true;
    c->at++;
    if (json_take(c, '}')) {
        return true;
    }
    uint32_t serial = ++im->serial;
    while (more) {
        uint32_t word;
        json_value value;
        if (!read_word(im, &word) || !json_read(c, &value) || !json_next(c, '}', &more)
            || !put_arg(im, &event->args, word, &value, serial)) {
            return false;
        }
    }
    return true;
}

#define IS(name) (memcmp(key, name, sizeof(name) - 1) == 0)

/* Where a member with a place of its own goes, by its name with the quote behind it; *size: both. */
static json_value *
place_of(chrome_event *event, const char *key, size_t *size, unsigned *has)
{
    *size = 3;
    switch (key[0]) {
    case 't':
        *has = IS("ts\"") ? HAS_TIME : HAS_TID;
        *size += *has == HAS_TID;
        return *has == HAS_TIME ? &event->time : IS("tid\"") ? &event->tid : NULL;
    case 'p':
        *has = IS("ph\"") ? HAS_PHASE : HAS_PID;
        *size += *has == HAS_PID;
        return *has == HAS_PHASE ? &event->phase_value : IS("pid\"") ? &event->pid : NULL;
    case 'n':
        *has = HAS_NAME;
        *size = 5;
        return IS("name\"") ? &event->name : NULL;
    case 'd':
        *has = HAS_DURATION;
        *size = 4;
        return IS("dur\"") ? &event->duration : NULL;
    case 'c':
        *has = HAS_CATEGORY;
        *size = 4;
        return IS("cat\"") ? &event->category : NULL;
    case 'i':
        *has = HAS_ID;
        return IS("id\"") ? &event->id : NULL;
    case 'b':
        *has = HAS_BIND;
        return IS("bp\"") ? &event->bind : NULL;
    default:
        return NULL;
    }
}

/* A member without one. It is told from arguments of the same name by the serial. */
static bool
read_other(chrome_importer *im, chrome_event *event)
{
    json_cursor *c = &im->json;
    json_text key;
    json_value value;
    if (!json_key(c, &key)) {
        return false;
    }
    json_skip_space(c);
    if (*c->at == '{' && key.size == 4 && memcmp(key.data, "args", 4) == 0) {
        event->args.count = 0;
        return read_args(im, event);
    }
    if (!json_read(c, &value)) {
        return false;
    }
    uint32_t word = chrome_words_find(im, &im->arguments, key.data, key.size);
    return word != UINT32_MAX && put_arg(im, &event->members, word, &value, ++im->serial);
}

static bool
read_member(chrome_importer *im, chrome_event *event)
{
    json_cursor *c = &im->json;
    unsigned has;
    size_t size;
    json_skip_space(c);
    if (*c->at != '"') {
        return json_fail(c, "a member's name in quotes");
    }
    json_value *place = place_of(event, c->at + 1, &size, &has);
    if (place == NULL) {
        return read_other(im, event);
    }
    c->at += 1 + size;
    event->has |= has;
    return (json_take(c, ':') || json_fail(c, "':'")) && json_read(c, place);
}

bool
chrome_event_read(chrome_importer *im, chrome_event *event)
{
    bool more = true;
    event->has = 0;
    event->args.count = event->members.count = 0;
    im->json.at++;
    if (json_take(&im->json, '}')) {
        more = false;
    }
    while (more) {
        if (!read_member(im, event) || !json_next(&im->json, '}', &more)) {
            return false;
        }
    }
    const json_text *phase = &event->phase_value.text;
    event->phase =
        event->has & HAS_PHASE && event->phase_value.kind == JSON_STRING && phase->size == 1 ? phase->data[0] : 0;
    return true;
}
