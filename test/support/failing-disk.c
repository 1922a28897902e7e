/*
 * An LD_PRELOAD library that makes the disk fail on command; failing-disk.ts builds it and says how it is used.
 *
 * FAILING_DISK_DIRECTORY is the real path of a directory or file: what is done to it and to all below it can fail.
 * FAILING_DISK_CONTROL is a file whose first byte is the mode, see below; it is mapped, so that a change takes effect
 * with the next call. Without these variables nothing fails.
 *
 * A call that fails does nothing else: no part of the data is written. Only calls by the names below can fail, which
 * are those of SQLite and libuv; not those that libc makes within itself (stdio), and not writes to mapped memory, such
 * as SQLite's to its -shm file once that is large enough.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef __GLIBC__
#error "the failing disk needs glibc"
#endif

enum mode { healthy = 'h', full = 'f', write_fails = 'w', fsync_fails = 's', slow = 'd' };
enum call { writes, resizes, allocates, syncs };

static const volatile char *control;
static const char *directory;
static size_t directory_length;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("FAILING_DISK_CONTROL");
  directory = getenv("FAILING_DISK_DIRECTORY");
  if (path == NULL || directory == NULL) {
    return;
  }
  directory_length = strlen(directory);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    /* A disk that never fails would make a test succeed for the wrong reason. */
    perror(path);
    _exit(127);
  }
  close(fd);
  control = mapped;
}

static int belongs_to_directory(int fd) {
  char link[32];
  char path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path);
  return length >= (ssize_t)directory_length && memcmp(path, directory, directory_length) == 0 &&
         ((size_t)length == directory_length || path[directory_length] == '/');
}

/* The errno with which a call fails; 0 when it does not. */
static int failure_of(enum call call, int fd) {
  int mode = control == NULL ? healthy : *control;
  int error = 0;
  if (mode == slow && call == syncs && belongs_to_directory(fd)) {
    usleep(300000);
  }
  if (mode == full && (call == writes || call == allocates)) {
    /*
     * Overwriting fails, too, as where files are copied on write. Otherwise it would depend on the last checkpoint
     * whether SQLite can commit, because that lets it write over its -wal from the start.
     */
    error = ENOSPC;
  } else if ((mode == write_fails && call != syncs) || (mode == fsync_fails && call == syncs)) {
    error = EIO;
  }
  if (error == 0) {
    return 0;
  }
  int before = errno;
  int belongs = belongs_to_directory(fd);
  errno = before;
  return belongs ? error : 0;
}

/* The function that this one stands before. Found at its first call: other libraries' constructors may come first. */
#define NEXT(name)                                                       \
  ({                                                                     \
    static __typeof__(name) *known;                                      \
    __typeof__(name) *next = __atomic_load_n(&known, __ATOMIC_RELAXED);  \
    if (next == NULL) {                                                  \
      next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                \
      __atomic_store_n(&known, next, __ATOMIC_RELAXED);                  \
    }                                                                    \
    next;                                                                \
  })

#define INTERPOSE(call, result, name, parameters, arguments) \
  result name parameters {                                   \
    int error = failure_of(call, fd);                        \
    if (error != 0) {                                        \
      errno = error;                                         \
      return -1;                                             \
    }                                                        \
    return NEXT(name) arguments;                             \
  }

INTERPOSE(writes, ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
INTERPOSE(writes, ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
INTERPOSE(writes, ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
INTERPOSE(writes, ssize_t, writev, (int fd, const struct iovec *parts, int n), (fd, parts, n))
INTERPOSE(writes, ssize_t, pwritev, (int fd, const struct iovec *parts, int n, off_t at), (fd, parts, n, at))
INTERPOSE(writes, ssize_t, pwritev64, (int fd, const struct iovec *parts, int n, off64_t at), (fd, parts, n, at))
INTERPOSE(resizes, int, ftruncate, (int fd, off_t size), (fd, size))
INTERPOSE(resizes, int, ftruncate64, (int fd, off64_t size), (fd, size))
INTERPOSE(allocates, int, fallocate, (int fd, int how, off_t at, off_t size), (fd, how, at, size))
INTERPOSE(allocates, int, fallocate64, (int fd, int how, off64_t at, off64_t size), (fd, how, at, size))
INTERPOSE(syncs, int, fsync, (int fd), (fd))
INTERPOSE(syncs, int, fdatasync, (int fd), (fd))

/* These two answer the error instead of setting errno. */
int posix_fallocate(int fd, off_t at, off_t size) {
  int error = failure_of(allocates, fd);
  return error != 0 ? error : NEXT(posix_fallocate)(fd, at, size);
}

int posix_fallocate64(int fd, off64_t at, off64_t size) {
  int error = failure_of(allocates, fd);
  return error != 0 ? error : NEXT(posix_fallocate64)(fd, at, size);
}
