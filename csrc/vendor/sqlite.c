#include "vendor/sqlite.h"

#include <stddef.h>

#include "vendor/dl.h"

tsm_status
tsm_sqlite_load(tsm_sqlite *functions, tsm_error *err)
{
    static const char *const names[] = { "libsqlite3.so.0", "libsqlite3.so", "libsqlite3.dylib",
                                         "/usr/lib/libsqlite3.dylib", NULL };
    static const tsm_dl_symbol symbols[] = {
#define X(name, result, parameters) { "sqlite3_" #name, offsetof(tsm_sqlite, name) },
        TSM_SQLITE_FUNCTIONS(X)
#undef X
            { NULL, 0 },
    };
    return tsm_dl_load(names, symbols, "install libsqlite3-0 (Debian, Ubuntu) or sqlite-libs (Fedora)", functions, err);
}
