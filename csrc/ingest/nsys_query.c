/* Questions to the database. A column that this version does not have is asked for as NULL, so
 * that a column's place in the answer is always the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "ingest/nsys.h"

bool
nsys_fail(nsys *im, int code, const char *what)
{
    tsm_status status = code == TSM_SQLITE_NOMEM ? TSM_E_NOMEM : TSM_E_CORRUPT;
    if (im->buffer.status == TSM_OK) {
        im->buffer.status = tsm_fail(im->buffer.err, status, 0, "cannot read %.60s: SQLite says: %.120s", what,
                                     im->sqlite.errmsg(im->db));
    }
    return false;
}

bool
nsys_query(nsys *im, const char *sql, nsys_row *keep)
{
    tsm_sqlite_statement *statement = NULL;
    int code = im->sqlite.prepare_v2(im->db, sql, -1, &statement, NULL);
    if (code != TSM_SQLITE_OK) {
        return nsys_fail(im, code, "the database");
    }
    while (im->buffer.status == TSM_OK && (code = im->sqlite.step(statement)) == TSM_SQLITE_ROW) {
        keep(im, statement);
    }
    if (im->buffer.status == TSM_OK && code != TSM_SQLITE_DONE) {
        nsys_fail(im, code, "the database");
    }
    im->sqlite.finalize(statement);
    return im->buffer.status == TSM_OK;
}

int64_t
nsys_integer(nsys *im, tsm_sqlite_statement *row, int column)
{
    return im->sqlite.column_type(row, column) == TSM_SQLITE_INTEGER ? im->sqlite.column_int64(row, column) : 0;
}

bool
nsys_is_null(nsys *im, tsm_sqlite_statement *row, int column)
{
    return im->sqlite.column_type(row, column) == TSM_SQLITE_NULL;
}

tsm_text
nsys_string(nsys *im, tsm_sqlite_statement *row, int column)
{
    const char *data = (const char *)im->sqlite.column_text(row, column);
    int size = data == NULL ? 0 : im->sqlite.column_bytes(row, column);
    return (tsm_text){ size == 0 ? "" : data, (size_t)size };
}

/* Asks with a name in the text, which is one of ours: no quotes are in it. */
static tsm_sqlite_statement *
ask_about(nsys *im, const char *format, const char *table)
{
    char sql[200];
    tsm_sqlite_statement *statement = NULL;
    snprintf(sql, sizeof sql, format, table);
    int code = im->sqlite.prepare_v2(im->db, sql, -1, &statement, NULL);
    if (code != TSM_SQLITE_OK) {
        nsys_fail(im, code, table);
        return NULL;
    }
    return statement;
}

/* A view, or a table that only code makes, has no root page: whatever it would cost to ask it,
 * Nsight Systems writes none. */
bool
nsys_has_table(nsys *im, const char *name)
{
    tsm_sqlite_statement *statement =
        ask_about(im, "SELECT rootpage > 0 FROM sqlite_master WHERE type IN ('table', 'view') AND name = '%s'", name);
    int64_t found = -1;
    if (statement != NULL) {
        int code = im->sqlite.step(statement);
        found = code == TSM_SQLITE_ROW ? nsys_integer(im, statement, 0) : -1;
        if (code != TSM_SQLITE_ROW && code != TSM_SQLITE_DONE) {
            nsys_fail(im, code, name);
        }
        im->sqlite.finalize(statement);
    }
    if (found == 0) {
        ingest_count(im->buffer.report, name, "a view and no table", 1);
    }
    return found == 1;
}

/* Bit i: the table has columns[i]. */
static bool
find_columns(nsys *im, const char *table, const char *const *columns, size_t count, uint32_t *found)
{
    tsm_sqlite_statement *statement = ask_about(im, "PRAGMA table_info('%s')", table);
    int code = TSM_SQLITE_DONE;
    *found = 0;
    while (statement != NULL && (code = im->sqlite.step(statement)) == TSM_SQLITE_ROW) {
        tsm_text name = nsys_string(im, statement, 1);
        for (size_t i = 0; i < count; i++) {
            bool same = strlen(columns[i]) == name.size && memcmp(columns[i], name.data, name.size) == 0;
            *found |= (uint32_t)same << i;
        }
    }
    bool fine = statement != NULL && (code == TSM_SQLITE_DONE || nsys_fail(im, code, table));
    im->sqlite.finalize(statement);
    return fine;
}

bool
nsys_select(nsys *im, const char *table, const char *const *columns, size_t count, const char *tail,
            tsm_sqlite_statement **statement, uint32_t *found)
{
    char sql[2048] = "SELECT ";
    size_t used = strlen(sql);
    if (!nsys_has_table(im, table)) {
        return im->buffer.status == TSM_OK;
    }
    if (!find_columns(im, table, columns, count, found)) {
        return false;
    }
    for (size_t i = 0; i < count && used < sizeof sql; i++) {
        const char *quote = (*found >> i & 1) != 0 ? "\"" : "";
        used += (size_t)snprintf(sql + used, sizeof sql - used, "%s%s%s%s", i == 0 ? "" : ",", quote,
                                 *quote != 0 ? columns[i] : "NULL", quote);
    }
    used += used < sizeof sql ? (size_t)snprintf(sql + used, sizeof sql - used, " FROM \"%s\" %s", table, tail) : 0;
    int code = used < sizeof sql ? im->sqlite.prepare_v2(im->db, sql, -1, statement, NULL) : TSM_SQLITE_NOMEM;
    return code == TSM_SQLITE_OK || nsys_fail(im, code, table);
}

bool
nsys_each(nsys *im, const char *table, const char *const *columns, size_t count, const char *tail, nsys_row *keep)
{
    tsm_sqlite_statement *statement = NULL;
    uint32_t found;
    int code = TSM_SQLITE_DONE;
    if (!nsys_select(im, table, columns, count, tail, &statement, &found)) {
        return false;
    }
    while (statement != NULL && im->buffer.status == TSM_OK && (code = im->sqlite.step(statement)) == TSM_SQLITE_ROW) {
        keep(im, statement);
    }
    if (im->buffer.status == TSM_OK && code != TSM_SQLITE_DONE) {
        nsys_fail(im, code, table);
    }
    im->sqlite.finalize(statement);
    return im->buffer.status == TSM_OK;
}

/* A real number counts as an integer if it is one. */
static void
take_value(nsys *im, nsys_source *source, int column, tsm_sqlite_value *value, int type)
{
    double number = type == TSM_SQLITE_FLOAT ? im->sqlite.value_double(value) : 0.5;
    if (type == TSM_SQLITE_NULL) {
        source->missing |= 1u << column;
    } else if (number > -9e18 && number < 9e18 && (double)(int64_t)number == number) {
        source->values[column] = (int64_t)number;
    } else {
        source->wrong |= 1u << column;
    }
}

/* Values are asked for through column_value: the ways without it look at the statement again for
 * the type and for the number. They are good until the next step. */
bool
nsys_step(nsys *im, nsys_source *source)
{
    const tsm_sqlite *sqlite = &im->sqlite;
    int code = sqlite->step(source->statement);
    if (code != TSM_SQLITE_ROW) {
        if (code != TSM_SQLITE_DONE) {
            nsys_fail(im, code, source->table->name);
        }
        sqlite->finalize(source->statement);
        source->statement = NULL;
        return false;
    }
    source->missing = ~source->read;
    source->wrong = 0;
    for (uint32_t left = source->read; left != 0; left &= left - 1) {
        int column = __builtin_ctz(left);
        tsm_sqlite_value *value = sqlite->column_value(source->statement, column);
        int type = sqlite->value_type(value);
        source->values[column] = 0;
        if (type == TSM_SQLITE_INTEGER) {
            source->values[column] = sqlite->value_int64(value);
        } else {
            take_value(im, source, column, value, type);
        }
    }
    return true;
}
