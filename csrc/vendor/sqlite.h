/* The part of SQLite that we call, as our own declarations: read from sqlite3.h 3.40.1, and the
 * same since 3.14 (2016). The functions bear their names without sqlite3_. */
#ifndef TSM_VENDOR_SQLITE_H
#define TSM_VENDOR_SQLITE_H

#include <stdint.h>

#include "base/status.h"

typedef struct tsm_sqlite_db tsm_sqlite_db;
typedef struct tsm_sqlite_statement tsm_sqlite_statement;
typedef struct tsm_sqlite_value tsm_sqlite_value;

enum {
    TSM_SQLITE_OK = 0,
    TSM_SQLITE_NOMEM = 7,
    TSM_SQLITE_CANTOPEN = 14,
    TSM_SQLITE_NOTADB = 26,
    TSM_SQLITE_ROW = 100,
    TSM_SQLITE_DONE = 101,
};

enum { TSM_SQLITE_OPEN_READONLY = 0x1, TSM_SQLITE_OPEN_URI = 0x40, TSM_SQLITE_OPEN_NOMUTEX = 0x8000 };

/* Of a column's value. */
enum {
    TSM_SQLITE_INTEGER = 1,
    TSM_SQLITE_FLOAT = 2,
    TSM_SQLITE_TEXT = 3,
    TSM_SQLITE_BLOB = 4,
    TSM_SQLITE_NULL = 5,
};

/* X(name, result, parameters) */
#define TSM_SQLITE_FUNCTIONS(X)                                                                             \
    X(open_v2, int, (const char *name, tsm_sqlite_db **db, int flags, const char *vfs))                     \
    X(close, int, (tsm_sqlite_db * db))                                                                     \
    X(errmsg, const char *, (tsm_sqlite_db * db))                                                           \
    X(exec, int, (tsm_sqlite_db * db, const char *sql, void *callback, void *context, char **message))      \
    X(prepare_v2, int,                                                                                      \
      (tsm_sqlite_db * db, const char *sql, int size, tsm_sqlite_statement **statement, const char **tail)) \
    X(step, int, (tsm_sqlite_statement * statement))                                                        \
    X(finalize, int, (tsm_sqlite_statement * statement))                                                    \
    X(column_type, int, (tsm_sqlite_statement * statement, int column))                                     \
    X(column_int64, int64_t, (tsm_sqlite_statement * statement, int column))                                \
    X(column_double, double, (tsm_sqlite_statement * statement, int column))                                \
    X(column_text, const unsigned char *, (tsm_sqlite_statement * statement, int column))                   \
    X(column_bytes, int, (tsm_sqlite_statement * statement, int column))                                    \
    X(column_value, tsm_sqlite_value *, (tsm_sqlite_statement * statement, int column))                     \
    X(value_type, int, (tsm_sqlite_value * value))                                                          \
    X(value_int64, int64_t, (tsm_sqlite_value * value))                                                     \
    X(value_double, double, (tsm_sqlite_value * value))

typedef struct {
#define X(name, result, parameters) result(*name) parameters;
    TSM_SQLITE_FUNCTIONS(X)
#undef X
} tsm_sqlite;

TSM_NODISCARD tsm_status tsm_sqlite_load(tsm_sqlite *functions, tsm_error *err);

#endif
