/* Every C++ runtime has the demangler of its own ABI; it is asked, not copied. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "symbol/symbol.h"

/* A name this long is nobody's, and the runtime's demangler recurses. */
#define NAME_BYTES 4096

typedef char *demangle(const char *name, char *buffer, size_t *size, int *status);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static demangle *runtime;

static void
find_runtime(void)
{
    static const char *const libraries[] = { "libstdc++.so.6", "libc++abi.so.1", "libc++.1.dylib" };
    void *found = dlsym(RTLD_DEFAULT, "__cxa_demangle");
    for (size_t i = 0; found == NULL && i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_LOCAL);
        found = library == NULL ? NULL : dlsym(library, "__cxa_demangle");
    }
    memcpy(&runtime, &found, sizeof runtime);
}

char *
tsm_demangle(const char *name)
{
    int status = -1;
    if (strncmp(name, "_Z", 2) != 0 || strlen(name) > NAME_BYTES || pthread_once(&once, find_runtime) != 0
        || runtime == NULL) {
        return NULL;
    }
    char *text = runtime(name, NULL, NULL, &status);
    if (status != 0) {
        free(text);
        return NULL;
    }
    return text;
}
