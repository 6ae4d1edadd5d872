/* A disk and a clock that fail on command, for every process that is started with
 * LD_PRELOAD=shim.so FAULTS_FILE=file. The file holds a `struct faults` that whoever tests
 * writes to; the processes share it. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* tests/chaos/disk.py has the same order. */
struct faults {
    _Atomic int64_t spool_full;
    _Atomic int64_t warehouse_full;
    _Atomic int64_t sync_fails;
    _Atomic int64_t sync_hangs_ms;
    _Atomic int64_t clock_offset_s;
    /* How often a call met a fault. */
    _Atomic int64_t hits;
};

static struct faults none;
static struct faults *faults = &none;

__attribute__((constructor)) static void share(void) {
    const char *path = getenv("FAULTS_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        faults = shared;
}

static void *next_of(const char *name) { return dlsym(RTLD_NEXT, name); }

#define NEXT(name)                                                                               \
    static __typeof__(&name) real;                                                               \
    if (!real)                                                                                   \
    real = (__typeof__(&name))next_of(#name)

/* Whether a descriptor is a file below a folder of that name. */
static int is_in(int fd, const char *folder) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return strstr(path, folder) != NULL;
}

static int is_full(int fd) {
    int full = (faults->spool_full && is_in(fd, "/spool/")) ||
               (faults->warehouse_full && is_in(fd, "/warehouse/"));
    if (full) {
        faults->hits++;
        errno = ENOSPC;
    }
    return full;
}

/* chDB is loaded with its own libraries first in the order of lookup, past this shim. */
void *dlopen(const char *path, int flags) {
    NEXT(dlopen);
    return real(path, flags & ~RTLD_DEEPBIND);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    NEXT(write);
    return is_full(fd) ? -1 : real(fd, bytes, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
    NEXT(pwrite);
    return is_full(fd) ? -1 : real(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    NEXT(pwrite64);
    return is_full(fd) ? -1 : real(fd, bytes, n, at);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    NEXT(writev);
    return is_full(fd) ? -1 : real(fd, parts, n);
}

static int meets_fault(int fd) {
    if (!(faults->sync_fails || faults->sync_hangs_ms) || !is_in(fd, "/spool/"))
        return 0;
    faults->hits++;
    if (faults->sync_hangs_ms) {
        int64_t ms = faults->sync_hangs_ms;
        struct timespec left = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&left, NULL);
    }
    if (!faults->sync_fails)
        return 0;
    errno = EIO;
    return 1;
}

int fdatasync(int fd) {
    NEXT(fdatasync);
    return meets_fault(fd) ? -1 : real(fd);
}

int fsync(int fd) {
    NEXT(fsync);
    return meets_fault(fd) ? -1 : real(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    NEXT(clock_gettime);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += faults->clock_offset_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    NEXT(gettimeofday);
    int failed = real(now, zone);
    if (!failed)
        now->tv_sec += faults->clock_offset_s;
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
