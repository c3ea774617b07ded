#include "capture/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

tsm_status
tsm_folder_absolute(const char *path, char *out, size_t size, tsm_error *err)
{
    char here[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(here, sizeof here) == NULL) {
        return tsm_fail_errno(err, TSM_E_IO, "cannot tell the current folder");
    }
    const char *separator = path[0] == '/' ? "" : "/";
    if (snprintf(out, size, "%s%s%s", here, separator, path) >= (int)size) {
        return tsm_fail(err, TSM_E_ARG, 0, "the path is too long: %.80s...", path);
    }
    return TSM_OK;
}

static bool
has_room(const char *path, uint64_t bytes)
{
    struct statvfs facts;
    return statvfs(path, &facts) == 0 && (uint64_t)facts.f_bavail * facts.f_frsize >= bytes
           && access(path, W_OK | X_OK) == 0;
}

tsm_status
tsm_folder_choose(const char *parent, const char *output, uint64_t budget, char *out, size_t size, tsm_error *err)
{
    char beside[PATH_MAX];
    uint64_t number = 0;
    const char *dot = "";
    if (parent == NULL && has_room(TSM_SPOOL_PLACE, 4 * budget)) {
        parent = TSM_SPOOL_PLACE;
    }
    if (parent == NULL) {
        const char *slash = strrchr(output, '/');
        snprintf(beside, sizeof beside, "%.*s", (int)(slash - output), output);
        parent = beside[0] == 0 ? "/" : beside;
        dot = ".";
    }
    if (getrandom(&number, sizeof number, 0) != sizeof number) {
        number = (uint64_t)getpid();
    }
    int used = snprintf(out, size, "%s/%s" TSM_SPOOL_PREFIX "%u-%u-%016llx", parent, dot, (unsigned)geteuid(),
                        (unsigned)getpid(), (unsigned long long)number);
    return used < (int)size ? TSM_OK : tsm_fail(err, TSM_E_ARG, 0, "the path of the spool's folder is too long");
}

static bool
is_ours(const char *name)
{
    size_t length = strlen(name);
    return strcmp(name, "run") == 0 || (length > 6 && strcmp(name + length - 6, ".spool") == 0);
}

void
tsm_folder_remove(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (is_ours(entry->d_name)) {
            unlinkat(fd, entry->d_name, 0);
        }
    }
    closedir(folder);
    rmdir(directory);
}
