/* A layer below a program (LD_PRELOAD) that counts its writes below one folder, and lets one fail.

   A write is every call that changes something on disk: creating, writing, syncing, renaming,
   deleting, changing modes and times. At the chosen one the process is killed (of a write of bytes
   half is done before that), or the call fails. It is set up by fault_arm(), or by the environment:

     FAULT_ROOT      the folder; nothing happens without it
     FAULT_KIND      kill; else the number of an error: EIO once, ENOSPC for all that needs room
                     from then on, EROFS for everything from then on
     FAULT_AT        the first call that fails, from 1; 0 is none
     FAULT_TRIGGER   calls count once this file exists
     FAULT_TRACE     a file to append a line per counted call to */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) __typeof__(&name) real = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], trigger[PATH_MAX];
static int trace = -1, kind;
static long first, calls;

enum { KILL = -1 };

void fault_arm(const char * folder, long at, int how, const char * trace_path) {
    snprintf(root, sizeof root, "%s", folder);
    first = at;
    kind = how;
    calls = 0;
    if (trace >= 0)
        syscall(SYS_close, trace);
    trace = trace_path && *trace_path
                ? (int) syscall(SYS_openat, AT_FDCWD, trace_path,
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                : -1;
}

__attribute__((constructor)) static void from_environment(void) {
    const char *folder = getenv("FAULT_ROOT"), *how = getenv("FAULT_KIND");
    const char *at = getenv("FAULT_AT"), *file = getenv("FAULT_TRIGGER");
    if (file)
        snprintf(trigger, sizeof trigger, "%s", file);
    if (folder)
        fault_arm(folder, at ? atol(at) : 0, how && strcmp(how, "kill") ? atoi(how) : KILL,
                  getenv("FAULT_TRACE"));
}

static int below_root(const char * path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static const char * path_at(int folder, const char * path, char * buffer) {
    if (!path || path[0] == '/')
        return path ? path : "";
    char link[64], base[PATH_MAX];
    ssize_t length;
    if (folder == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            return path;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if ((length = readlink(link, base, sizeof base - 1)) < 0)
            return path;
        base[length] = 0;
    }
    if (snprintf(buffer, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
        return path;
    return buffer;
}

static const char * path_of(int fd, char * buffer) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

/* 0 to go on, KILL to end here, or the error to return. */
static int fate(const char * call, const char * path, const char * other, int needs_room) {
    if (!below_root(path) && !(other && below_root(other)))
        return 0;
    if (*trigger && syscall(SYS_faccessat, AT_FDCWD, trigger, F_OK))
        return 0;
    pthread_mutex_lock(&mutex);
    long number = ++calls;
    if (trace >= 0) {
        char line[2 * PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", call, path, other ? other : "");
        if (length > 0)
            syscall(SYS_write, trace, line, (size_t) length);
    }
    pthread_mutex_unlock(&mutex);
    if (!first || number < first)
        return 0;
    if (kind == KILL)
        return KILL;
    if (kind == EROFS)
        return EROFS;
    if (kind == ENOSPC)
        return needs_room ? ENOSPC : 0;
    return number == first ? kind : 0;
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

#define MEET(call, path, other, needs_room)                                                        \
    do {                                                                                           \
        int met = fate(call, path, other, needs_room);                                             \
        if (met == KILL)                                                                           \
            end();                                                                                 \
        if (met) {                                                                                 \
            errno = met;                                                                           \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

#define OPEN(name, folder, ...)                                                                    \
    REAL(name);                                                                                    \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                           \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode = va_arg(more, mode_t);                                                               \
        va_end(more);                                                                              \
    }                                                                                              \
    if (flags & (O_CREAT | O_TRUNC)) {                                                             \
        char buffer[PATH_MAX];                                                                     \
        MEET("create", path_at(folder, path, buffer), NULL, flags & O_CREAT);                      \
    }                                                                                              \
    return real(__VA_ARGS__, flags, mode)

int open(const char * path, int flags, ...) {
    OPEN(open, AT_FDCWD, path);
}
int open64(const char * path, int flags, ...) {
    OPEN(open64, AT_FDCWD, path);
}
int openat(int folder, const char * path, int flags, ...) {
    OPEN(openat, folder, folder, path);
}
int openat64(int folder, const char * path, int flags, ...) {
    OPEN(openat64, folder, folder, path);
}

#define WRITE(name, half, ...)                                                                     \
    REAL(name);                                                                                    \
    char buffer[PATH_MAX];                                                                         \
    int met = fate("write", path_of(fd, buffer), NULL, 1);                                         \
    if (met == KILL) {                                                                             \
        size /= 2;                                                                                 \
        half;                                                                                      \
        end();                                                                                     \
    }                                                                                              \
    if (met) {                                                                                     \
        errno = met;                                                                               \
        return -1;                                                                                 \
    }                                                                                              \
    return real(__VA_ARGS__)

ssize_t write(int fd, const void * data, size_t size) {
    WRITE(write, (void) !real(fd, data, size), fd, data, size);
}
ssize_t pwrite(int fd, const void * data, size_t size, off_t offset) {
    WRITE(pwrite, (void) !real(fd, data, size, offset), fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void * data, size_t size, off64_t offset) {
    WRITE(pwrite64, (void) !real(fd, data, size, offset), fd, data, size, offset);
}
ssize_t copy_file_range(int from, off64_t * from_at, int fd, off64_t * at, size_t size,
                        unsigned int flags) {
    WRITE(copy_file_range, (void) !real(from, from_at, fd, at, size, flags), from, from_at, fd, at,
          size, flags);
}

#define ON_FD(name, call, room, ...)                                                               \
    REAL(name);                                                                                    \
    char buffer[PATH_MAX];                                                                         \
    MEET(call, path_of(fd, buffer), NULL, room);                                                   \
    return real(__VA_ARGS__)

int fsync(int fd) {
    ON_FD(fsync, "sync", 1, fd);
}
int fdatasync(int fd) {
    ON_FD(fdatasync, "sync", 1, fd);
}
int ftruncate(int fd, off_t size) {
    ON_FD(ftruncate, "truncate", 0, fd, size);
}
int ftruncate64(int fd, off64_t size) {
    ON_FD(ftruncate64, "truncate", 0, fd, size);
}
int fchmod(int fd, mode_t mode) {
    ON_FD(fchmod, "chmod", 0, fd, mode);
}
int futimens(int fd, const struct timespec times[2]) {
    ON_FD(futimens, "touch", 0, fd, times);
}

#define ON_PATH(name, folder, call, room, ...)                                                     \
    REAL(name);                                                                                    \
    char buffer[PATH_MAX];                                                                         \
    MEET(call, path_at(folder, path, buffer), NULL, room);                                         \
    return real(__VA_ARGS__)

int unlink(const char * path) {
    ON_PATH(unlink, AT_FDCWD, "delete", 0, path);
}
int unlinkat(int at, const char * path, int flags) {
    ON_PATH(unlinkat, at, "delete", 0, at, path, flags);
}
int rmdir(const char * path) {
    ON_PATH(rmdir, AT_FDCWD, "rmdir", 0, path);
}
int mkdir(const char * path, mode_t mode) {
    ON_PATH(mkdir, AT_FDCWD, "mkdir", 1, path, mode);
}
int mkdirat(int at, const char * path, mode_t mode) {
    ON_PATH(mkdirat, at, "mkdir", 1, at, path, mode);
}
int chmod(const char * path, mode_t mode) {
    ON_PATH(chmod, AT_FDCWD, "chmod", 0, path, mode);
}
int fchmodat(int at, const char * path, mode_t mode, int flags) {
    ON_PATH(fchmodat, at, "chmod", 0, at, path, mode, flags);
}
int utimensat(int at, const char * path, const struct timespec times[2], int flags) {
    ON_PATH(utimensat, at, "touch", 0, at, path, times, flags);
}

#define FROM_TO(name, call, from_at, to_at, ...)                                                   \
    REAL(name);                                                                                    \
    char one[PATH_MAX], two[PATH_MAX];                                                             \
    MEET(call, path_at(from_at, from, one), path_at(to_at, to, two), 0);                           \
    return real(__VA_ARGS__)

int rename(const char * from, const char * to) {
    FROM_TO(rename, "rename", AT_FDCWD, AT_FDCWD, from, to);
}
int renameat(int from_at, const char * from, int to_at, const char * to) {
    FROM_TO(renameat, "rename", from_at, to_at, from_at, from, to_at, to);
}
int link(const char * from, const char * to) {
    FROM_TO(link, "link", AT_FDCWD, AT_FDCWD, from, to);
}
int linkat(int from_at, const char * from, int to_at, const char * to, int flags) {
    FROM_TO(linkat, "link", from_at, to_at, from_at, from, to_at, to, flags);
}
