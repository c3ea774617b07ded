#include "base/host.h"

#include <fcntl.h>
#include <string.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <unistd.h>

void
tsm_host_read_line(const char *path, char *line, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, line, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    line[got > 0 ? got : 0] = 0;
    line[strcspn(line, "\n")] = 0;
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
