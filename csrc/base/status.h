/* What every function that can fail returns, and the text that goes with it.
 * Installed: users of the C API see this header. */
#ifndef TSM_BASE_STATUS_H
#define TSM_BASE_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TSM_NODISCARD __attribute__((warn_unused_result))
#define TSM_EXPORT    __attribute__((visibility("default")))

/* X(name, number, text). Numbers are seen by other languages: never renumbered. */
#define TSM_STATUS_LIST(X)                                   \
    X(TSM_OK, 0, "ok")                                       \
    X(TSM_E_NOMEM, 1, "out of memory")                       \
    X(TSM_E_ARG, 2, "invalid argument")                      \
    X(TSM_E_IO, 3, "input or output failed")                 \
    X(TSM_E_FORMAT, 4, "not in the expected format")         \
    X(TSM_E_TRUNCATED, 5, "ends too early")                  \
    X(TSM_E_CORRUPT, 6, "damaged")                           \
    X(TSM_E_UNSUPPORTED, 7, "not supported by this build")   \
    X(TSM_E_STATE, 8, "not possible in this state")          \
    X(TSM_E_BUSY, 9, "in use by another process or session") \
    X(TSM_E_LIMIT, 10, "beyond a limit")                     \
    X(TSM_E_END, 11, "no more")

typedef enum {
#define X(name, number, text) name = number,
    TSM_STATUS_LIST(X)
#undef X
} tsm_status;

/* Where and why: filled by functions that meet files, foreign bytes or vendors.
 * Callers may pass NULL. */
typedef struct {
    uint64_t offset; /* in the input, where that means something; else 0 */
    int os_error;    /* errno, or 0 */
    char text[244];
} tsm_error;

/* The list's text for a status; never NULL. */
TSM_EXPORT const char *tsm_status_text(tsm_status status);

/* Fills err when it is not NULL and returns status, so that a failure is one line. */
TSM_EXPORT tsm_status tsm_fail(tsm_error *err, tsm_status status, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same for a failed system call: appends errno's text and remembers errno. */
TSM_EXPORT tsm_status tsm_fail_errno(tsm_error *err, tsm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif

#endif
