/*
 * A disk that fails on request, and that loses what was not synced when the power goes. Linux; loaded before the C library.
 *
 * It stands between a program and the kernel at the calls that change files. Only files below one folder count; the log files and the
 * shared memory of SQLite do not. Each call that changes something is a point.
 *
 *   DISK_FOLDER  the folder
 *   DISK_GRAVE   an empty folder on the same file system, outside of DISK_FOLDER: keeps what was unlinked until that is durable
 *   DISK_LOG     a file that gets a line for each point: the call, the path below the folder
 *   DISK_CUT     "<number> <begin>": the power goes before the point of this number among those whose call and path, as the log has them,
 *                begin so; the process ends there, as if killed
 *   DISK_LOSE    what a power cut takes of that which was not synced: "none", "all", or a number, which seeds a choice for each file
 *                and folder: nothing, all, or what came after some moment
 *   DISK_FAULT   a file; while it is there, each of its lines "<errno> <calls> <part of the path>" makes such calls fail. The calls are
 *                letters: c create, w write, s sync, t truncate, m mkdir, n rename, u unlink, r read, o open for writing
 *
 * What counts as durable: the content of a file when it was synced itself; a name (made, changed or removed) when its folder was synced. File systems are
 * often kinder. Not followed: copies made inside of the kernel and files mapped into memory (SQLite only reads through these).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WROTE, MADE, MADE_FOLDER, RENAMED, REMOVED };

/* One change that is not durable yet, and how it is undone. */
struct change {
    enum kind kind;
    int durable;
    uint64_t key; /* of the file for WROTE, of the folder otherwise */
    uint64_t seq;
    int fd; /* our own, of the file; never closed: that would drop the program's locks */
    off_t offset, size;
    char *old;
    size_t length;
    char *path, *to, *saved;
};

static struct {
    const char *folder, *grave, *fault, *lose, *at;
    int log;
    uint64_t cut, points, seq;
    struct change *changes;
    size_t count, room;
    struct { uint64_t key; int fd; } *files;
    size_t file_count;
} disk = {.log = -1};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin(void) {
    disk.folder = getenv("DISK_FOLDER");
    disk.grave = getenv("DISK_GRAVE");
    disk.fault = getenv("DISK_FAULT");
    disk.lose = getenv("DISK_LOSE");
    const char *cut = getenv("DISK_CUT"), *log = getenv("DISK_LOG");
    if (cut) {
        char *rest = NULL;
        disk.cut = strtoull(cut, &rest, 10);
        disk.at = *rest ? rest + 1 : rest;
    }
    if (log)
        disk.log = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && strcmp(text + a - b, end) == 0;
}

/* True if changes of this path count. */
static int counts(const char *path) {
    pthread_once(&once, begin);
    if (!disk.folder || strncmp(path, disk.folder, strlen(disk.folder)) != 0)
        return 0;
    return !ends_with(path, "-shm") && !strstr(path, "/logs/");
}

static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    if (ends_with(path, " (deleted)"))
        path[length - 10] = 0;
    return counts(path);
}

/* An absolute path of what is named relative to a folder. */
static int path_at(int folder, const char *name, char path[PATH_MAX]) {
    if (name[0] == '/' || folder == AT_FDCWD) {
        snprintf(path, PATH_MAX, "%s", name);
        return counts(path);
    }
    char base[PATH_MAX];
    path_of(folder, base);
    int length = snprintf(path, PATH_MAX, "%s/%s", base, name);
    return length < PATH_MAX && counts(path);
}

static uint64_t key_of(const struct stat *stat) {
    return ((uint64_t)stat->st_dev << 40) ^ (uint64_t)stat->st_ino;
}

static uint64_t folder_key(const char *path) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    struct stat stat;
    return fstatat(AT_FDCWD, folder, &stat, 0) == 0 ? key_of(&stat) : 0;
}

static uint64_t mixed(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* True if a power cut takes this change. */
static int is_lost(const struct change *change) {
    if (!disk.lose || strcmp(disk.lose, "none") == 0)
        return 0;
    if (strcmp(disk.lose, "all") == 0)
        return 1;
    uint64_t chance = mixed(strtoull(disk.lose, NULL, 10) ^ mixed(change->key));
    switch (chance % 3) {
    case 0:
        return 0;
    case 1:
        return 1;
    default:
        return change->seq >= mixed(chance) % (disk.seq + 1);
    }
}

static void undo(struct change *change) {
    switch (change->kind) {
    case WROTE:
        if (change->length)
            syscall(SYS_pwrite64, change->fd, change->old, change->length, change->offset);
        syscall(SYS_ftruncate, change->fd, change->size);
        break;
    case MADE:
        syscall(SYS_unlinkat, AT_FDCWD, change->path, 0);
        break;
    case MADE_FOLDER:
        syscall(SYS_unlinkat, AT_FDCWD, change->path, AT_REMOVEDIR);
        break;
    case RENAMED:
        syscall(SYS_renameat2, AT_FDCWD, change->to, AT_FDCWD, change->path, 0);
        if (change->saved)
            syscall(SYS_renameat2, AT_FDCWD, change->saved, AT_FDCWD, change->to, 0);
        break;
    case REMOVED:
        if (change->saved)
            syscall(SYS_renameat2, AT_FDCWD, change->saved, AT_FDCWD, change->path, 0);
        break;
    }
}

/* The power goes: what was not durable is undone, newest first, and the process is no more. */
static void cut(void) {
    for (size_t n = disk.count; n-- > 0;) {
        struct change *change = &disk.changes[n];
        if (!change->durable && is_lost(change))
            undo(change);
    }
    for (;;) {
        kill(getpid(), SIGKILL);
        pause();
    }
}

/* A call is about to change something; under the lock. */
static void point(const char *call, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %s\n", call, path + strlen(disk.folder));
    if (disk.log >= 0)
        syscall(SYS_write, disk.log, line, (size_t)length);
    if (disk.at && strncmp(line, disk.at, strlen(disk.at)) == 0 && ++disk.points == disk.cut)
        cut();
}

/* The error that such a call on such a path shall meet, or 0. */
static int fault(char call, const char *path) {
    if (!disk.fault)
        return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, disk.fault, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    char text[4096];
    ssize_t length = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (length <= 0)
        return 0;
    text[length] = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        int code = 0;
        char calls[16], part[PATH_MAX];
        int words = sscanf(line, "%d %15s %4095s", &code, calls, part);
        if (words >= 2 && strchr(calls, call) && (words < 3 || strstr(path, part)))
            return code;
    }
    return 0;
}

static struct change *change(enum kind kind, uint64_t key, const char *path) {
    if (disk.count == disk.room) {
        /* What is durable is forgotten first. */
        size_t kept = 0;
        for (size_t n = 0; n < disk.count; n++) {
            struct change *old = &disk.changes[n];
            if (old->durable) {
                free(old->old), free(old->path), free(old->to), free(old->saved);
            } else {
                disk.changes[kept++] = *old;
            }
        }
        disk.count = kept;
        if (kept * 2 >= disk.room) {
            disk.room = disk.room ? disk.room * 2 : 1024;
            disk.changes = realloc(disk.changes, disk.room * sizeof *disk.changes);
            if (!disk.changes)
                abort();
        }
    }
    struct change *made = &disk.changes[disk.count++];
    memset(made, 0, sizeof *made);
    made->kind = kind;
    made->key = key;
    made->seq = disk.seq++;
    made->path = path ? strdup(path) : NULL;
    return made;
}

static int own_fd(int fd, uint64_t key) {
    for (size_t n = 0; n < disk.file_count; n++)
        if (disk.files[n].key == key)
            return disk.files[n].fd;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int own = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDWR | O_CLOEXEC, 0);
    disk.files = realloc(disk.files, (disk.file_count + 1) * sizeof *disk.files);
    if (!disk.files)
        abort();
    disk.files[disk.file_count].key = key;
    disk.files[disk.file_count++].fd = own;
    return own;
}

/* Keeps what a write or a truncation is about to replace. */
static void keep(int fd, off_t offset, size_t length) {
    struct stat stat;
    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode) || !disk.lose)
        return;
    struct change *made = change(WROTE, key_of(&stat), NULL);
    made->fd = own_fd(fd, made->key);
    made->offset = offset;
    made->size = stat.st_size;
    if (offset < stat.st_size) {
        off_t there = stat.st_size - offset;
        size_t wanted = (off_t)length < there ? length : (size_t)there;
        made->old = malloc(wanted);
        ssize_t had = made->old ? syscall(SYS_pread64, made->fd, made->old, wanted, offset) : 0;
        made->length = had > 0 ? (size_t)had : 0;
    }
}

/* Another name for a file that is about to lose its own. */
static char *saved(const char *path) {
    if (!disk.lose || !disk.grave)
        return NULL;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/%d-%llu", disk.grave, (int)getpid(), (unsigned long long)disk.seq);
    return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0) == 0 ? strdup(name) : NULL;
}

static void durable(uint64_t key, int folder, uint64_t until) {
    for (size_t n = 0; n < disk.count; n++) {
        struct change *change = &disk.changes[n];
        if (change->key == key && (change->kind != WROTE) == folder && change->seq < until)
            change->durable = 1;
    }
}

static int failed(int code) {
    errno = code;
    return -1;
}

/* ---- what the program calls ---- */

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if ((flags & O_ACCMODE) == O_RDONLY || !path_at(folder, name, path))
        return (int)syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat stat;
    int was_there = fstatat(AT_FDCWD, path, &stat, 0) == 0;
    int makes = !was_there && (flags & O_CREAT), code = fault('o', path);
    if (!code && makes)
        code = fault('c', path);
    int fd = -1;
    if (!code) {
        if (makes)
            point("create", path);
        else if (was_there && (flags & O_TRUNC) && stat.st_size > 0) {
            point("truncate", path);
            int old = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
            if (old >= 0)
                keep(old, 0, (size_t)stat.st_size); /* `old` stays open: closing it would drop locks */
        }
        fd = (int)syscall(SYS_openat, folder, name, flags, mode);
        code = errno;
        if (fd >= 0 && makes)
            change(MADE, folder_key(path), path);
    }
    pthread_mutex_unlock(&lock);
    if (fd < 0)
        errno = code;
    return fd;
}

#define MODE(flags)                                                                                                                        \
    mode_t mode = 0;                                                                                                                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                                                 \
        va_list rest;                                                                                                                      \
        va_start(rest, flags);                                                                                                             \
        mode = (mode_t)va_arg(rest, int);                                                                                                  \
        va_end(rest);                                                                                                                      \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags | O_LARGEFILE, mode); }

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset, int at) {
    char path[PATH_MAX];
    if (fd <= 2 || !path_of(fd, path))
        return at ? syscall(SYS_pwrite64, fd, bytes, length, offset) : syscall(SYS_write, fd, bytes, length);
    pthread_mutex_lock(&lock);
    int code = fault('w', path);
    ssize_t written = -1;
    if (!code) {
        off_t where = offset;
        if (!at) {
            int flags = (int)syscall(SYS_fcntl, fd, F_GETFL);
            where = (off_t)syscall(SYS_lseek, fd, 0, (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
        }
        point("write", path);
        keep(fd, where, length);
        written = at ? syscall(SYS_pwrite64, fd, bytes, length, offset) : syscall(SYS_write, fd, bytes, length);
        code = errno;
    }
    pthread_mutex_unlock(&lock);
    if (written < 0)
        errno = code;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) { return write_at(fd, bytes, length, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset, 1); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (fd <= 2 || !path_of(fd, path))
        return syscall(SYS_writev, fd, parts, count);
    /* A short write is what it may always be: its first part that holds anything. */
    for (int n = 0; n < count; n++)
        if (parts[n].iov_len)
            return write_at(fd, parts[n].iov_base, parts[n].iov_len, 0, 0);
    return 0;
}

static ssize_t read_at(int fd, void *bytes, size_t length, off_t offset, int at) {
    char path[PATH_MAX];
    pthread_once(&once, begin);
    if (disk.fault && fd > 2 && syscall(SYS_faccessat, AT_FDCWD, disk.fault, F_OK) == 0 && path_of(fd, path)) {
        int code = fault('r', path);
        if (code)
            return failed(code);
    }
    return at ? syscall(SYS_pread64, fd, bytes, length, offset) : syscall(SYS_read, fd, bytes, length);
}

ssize_t read(int fd, void *bytes, size_t length) { return read_at(fd, bytes, length, 0, 0); }
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) { return read_at(fd, bytes, length, offset, 1); }
ssize_t pread64(int fd, void *bytes, size_t length, off_t offset) { return read_at(fd, bytes, length, offset, 1); }

static int sync_file(int fd, long call) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    int code = fault('s', path);
    if (!code)
        point("sync", path);
    uint64_t until = disk.seq;
    pthread_mutex_unlock(&lock);
    if (code)
        return failed(code);
    int result = (int)syscall(call, fd);
    struct stat stat;
    if (result == 0 && fstat(fd, &stat) == 0) {
        pthread_mutex_lock(&lock);
        durable(key_of(&stat), S_ISDIR(stat.st_mode), until);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

int ftruncate(int fd, off_t length) {
    char path[PATH_MAX];
    if (!path_of(fd, path))
        return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    int code = fault('t', path), result = -1;
    if (!code) {
        struct stat stat;
        point("truncate", path);
        if (fstat(fd, &stat) == 0)
            keep(fd, length, stat.st_size > length ? (size_t)(stat.st_size - length) : 0);
        result = (int)syscall(SYS_ftruncate, fd, length);
        code = errno;
    }
    pthread_mutex_unlock(&lock);
    if (result < 0)
        errno = code;
    return result;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char path[PATH_MAX], target[PATH_MAX];
    int from_counts = path_at(from_folder, from, path), to_counts = path_at(to_folder, to, target);
    if (!from_counts && !to_counts)
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&lock);
    int code = fault('n', target), result = -1;
    if (!code) {
        point("rename", target);
        char *old = saved(target);
        result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
        code = errno;
        if (result == 0) {
            struct change *made = change(RENAMED, folder_key(target), path);
            made->to = strdup(target);
            made->saved = old;
        } else {
            free(old);
        }
    }
    pthread_mutex_unlock(&lock);
    if (result < 0)
        errno = code;
    return result;
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_folder, const char *from, int to_folder, const char *to) { return renameat2(from_folder, from, to_folder, to, 0); }

int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!path_at(folder, name, path))
        return (int)syscall(SYS_unlinkat, folder, name, flags);
    pthread_mutex_lock(&lock);
    struct stat stat;
    int is_file = !(flags & AT_REMOVEDIR) && fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode);
    int code = is_file ? fault('u', path) : 0, result = -1;
    if (!code) {
        char *old = NULL;
        if (is_file) {
            point("unlink", path);
            old = saved(path);
        }
        result = (int)syscall(SYS_unlinkat, folder, name, flags);
        code = errno;
        if (result == 0 && is_file)
            change(REMOVED, folder_key(path), path)->saved = old;
        else
            free(old);
    }
    pthread_mutex_unlock(&lock);
    if (result < 0)
        errno = code;
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!path_at(folder, name, path))
        return (int)syscall(SYS_mkdirat, folder, name, mode);
    pthread_mutex_lock(&lock);
    struct stat stat;
    int is_new = fstatat(AT_FDCWD, path, &stat, 0) != 0, code = is_new ? fault('m', path) : 0, result = -1;
    if (!code) {
        if (is_new)
            point("mkdir", path);
        result = (int)syscall(SYS_mkdirat, folder, name, mode);
        code = errno;
        if (result == 0)
            change(MADE_FOLDER, folder_key(path), path);
    }
    pthread_mutex_unlock(&lock);
    if (result < 0)
        errno = code;
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char path[PATH_MAX];
    if (!path_at(to_folder, to, path))
        return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&lock);
    int code = fault('c', path), result = -1;
    if (!code) {
        point("link", path);
        result = (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
        code = errno;
        if (result == 0)
            change(MADE, folder_key(path), path);
    }
    pthread_mutex_unlock(&lock);
    if (result < 0)
        errno = code;
    return result;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
