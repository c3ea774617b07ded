#include "vendor/dl.h"

#include <dlfcn.h>
#include <string.h>

static void *
open_first(const char *const *names, int flags)
{
    void *library = NULL;
    for (; library == NULL && *names != NULL; names++) {
        library = dlopen(*names, flags);
    }
    return library;
}

tsm_status
tsm_dl_load(const char *const *names, const tsm_dl_symbol *symbols, const char *advice, void *table, tsm_error *err)
{
    void *library = open_first(names, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
    library = library == NULL ? open_first(names, RTLD_NOW | RTLD_LOCAL) : library;
    if (library == NULL) {
        return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "%s is not on this machine: %s", names[0], advice);
    }
    for (; symbols->name != NULL; symbols++) {
        void *found = dlsym(library, symbols->name);
        if (found == NULL) {
            dlclose(library);
            return tsm_fail(err, TSM_E_UNSUPPORTED, 0, "%s has no %s: %s", names[0], symbols->name, advice);
        }
        memcpy((char *)table + symbols->offset, &found, sizeof found);
    }
    return TSM_OK;
}
