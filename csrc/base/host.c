#include "base/host.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The beginning of a small file as a string. */
static void
read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[got > 0 ? got : 0] = 0;
}

void
tsm_host_read_line(const char *path, char *line, size_t size)
{
    read_text(path, line, size);
    line[strcspn(line, "\n")] = 0;
}

static uint64_t
kilobytes_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

uint64_t
tsm_host_memory_bytes(void)
{
    char facts[4096], limit[32];
    read_text("/proc/meminfo", facts, sizeof facts);
    uint64_t available = kilobytes_of(facts, "MemAvailable:");
    uint64_t bytes = available == 0 ? UINT64_MAX : (available + kilobytes_of(facts, "SwapFree:")) << 10;
    tsm_host_read_line("/sys/fs/cgroup/memory.max", limit, sizeof limit);
    uint64_t most = strtoull(limit, NULL, 10); /* 0: 'max', or there is no such file */
    return most > 0 && most < bytes ? most : bytes;
}

static unsigned
digit_of(char c)
{
    return c >= 'a' ? (unsigned)(c - 'a') + 10 : (unsigned)(c - '0');
}

void
tsm_host_describe(tsm_host *host)
{
    struct utsname system;
    char boot[64];
    memset(host, 0, sizeof *host);
    if (uname(&system) == 0) {
        strncpy(host->name, system.nodename, sizeof host->name - 1);
    }
    tsm_host_read_line("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    for (const char *at = boot; *at != 0; at++) {
        if (*at != '-') {
            host->boot_high = host->boot_high << 4 | host->boot_low >> 60;
            host->boot_low = host->boot_low << 4 | (digit_of(*at) & 15);
        }
    }
}
