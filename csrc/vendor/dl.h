/* Vendor libraries are met at run time: nothing is linked, and a machine without one is told what
 * to install. A library that is met stays for the life of the process. */
#ifndef TSM_VENDOR_DL_H
#define TSM_VENDOR_DL_H

#include <stddef.h>

#include "base/status.h"

/* One function of a table of pointers: its name, and where in the table its pointer lies. */
typedef struct {
    const char *name;
    size_t offset;
} tsm_dl_symbol;

/* Opens the first of names (ends with NULL) that can be opened, one that the process has already
 * before all others, and fills the table. symbols ends with a NULL name.
 * TSM_E_UNSUPPORTED: there is none, or it lacks a function; advice tells people what to do. */
TSM_NODISCARD tsm_status tsm_dl_load(const char *const *names, const tsm_dl_symbol *symbols, const char *advice,
                                     void *table, tsm_error *err);

#endif
