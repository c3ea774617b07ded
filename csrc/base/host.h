/* Which machine this is. No malloc, no stdio: called in forked children, where malloc's lock may
 * belong to a thread that no longer exists. */
#ifndef TSM_BASE_HOST_H
#define TSM_BASE_HOST_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    char name[72];
    uint64_t boot_high, boot_low; /* the kernel's boot id: tells machines of one name apart */
} tsm_host;

void tsm_host_describe(tsm_host *host);

/* What can still be allocated and used, about: free memory and swap, caches that would be given
 * up, and not more than the container may have. UINT64_MAX when nobody says. */
uint64_t tsm_host_memory_bytes(void);

/* The first line of a small file without its newline; empty when it cannot be read. */
void tsm_host_read_line(const char *path, char *line, size_t size);

#endif
