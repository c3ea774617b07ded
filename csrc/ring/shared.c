/* The few system calls under the ring: files that are mapped and reserved, futexes, pids. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring/layout.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

uint64_t
ring_process_start(uint32_t pid)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0) {
        return 0;
    }
    text[got] = 0;
    char *at = strrchr(text, ')'); /* the name may hold anything, even ") 1 2" */
    /* Field 22, counting from pid as 1 and ')' ending field 2. A zombie is dead. */
    if (at == NULL || at[1] == 0 || at[2] == 'Z' || at[2] == 'X') {
        return 0;
    }
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

uint64_t
ring_random(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number || number == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        number = ((uint64_t)now.tv_nsec << 32) ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() ^ 1;
    }
    return number;
}

void
ring_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint32_t timeout_ms)
{
    struct timespec timeout = { timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000 };
    syscall(SYS_futex, word, FUTEX_WAIT, expected, &timeout, NULL, 0);
}

void
ring_futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static int
open_in(const char *directory, const char *name, int flags)
{
    int folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0) {
        return -1;
    }
    int fd = openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    int saved = errno;
    close(folder);
    errno = saved;
    return fd;
}

void *
ring_make_file(const char *directory, const char *name, uint64_t bytes)
{
    int fd = open_in(directory, name, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) {
        return NULL;
    }
    void *base = MAP_FAILED;
    if (ftruncate(fd, (off_t)bytes) == 0) {
        base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return base == MAP_FAILED ? NULL : base;
}

void *
ring_map_file(const char *directory, const char *name, uint64_t *bytes)
{
    int fd = open_in(directory, name, O_RDWR);
    struct stat facts;
    void *base = MAP_FAILED;
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &facts) == 0) {
        if (!S_ISREG(facts.st_mode) || facts.st_uid != geteuid() || facts.st_size <= 0) {
            errno = EPERM;
        } else {
            *bytes = (uint64_t)facts.st_size;
            base = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        }
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return base == MAP_FAILED ? NULL : base;
}

bool
ring_reserve(const char *directory, const char *name, void *base, uint64_t offset, uint64_t bytes)
{
    /* Faults the pages in, and where the file system is full says so instead of killing us. */
    if (madvise((char *)base + offset, bytes, MADV_POPULATE_WRITE) == 0) {
        return true;
    }
    if (errno != EINVAL) {
        return false;
    }
    int fd = open_in(directory, name, O_RDWR); /* kernels before 5.14 */
    if (fd < 0) {
        return false;
    }
    bool reserved = posix_fallocate(fd, (off_t)offset, (off_t)bytes) == 0;
    close(fd);
    return reserved;
}
