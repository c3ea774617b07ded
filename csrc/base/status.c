#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *
tsm_status_text(tsm_status status)
{
    switch (status) {
#define X(name, number, text) \
    case name:                \
        return text;
        TSM_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

tsm_status
tsm_fail(tsm_error *err, tsm_status status, uint64_t offset, const char *format, ...)
{
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        err->offset = offset;
        err->os_error = 0;
    }
    return status;
}

tsm_status
tsm_fail_errno(tsm_error *err, tsm_status status, const char *format, ...)
{
    int saved = errno;
    if (err != NULL) {
        va_list args;
        va_start(args, format);
        int used = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (used >= 0 && (size_t)used < sizeof err->text) {
            snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", strerror(saved));
        }
        err->offset = 0;
        err->os_error = saved;
    }
    errno = saved;
    return status;
}
