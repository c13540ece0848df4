#include "io_file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <unistd.h>

hdw_status io_file_errno(int e) {
  switch (e) {
  case 0: return HDW_OK;
  case ENOENT:
  case ENOTDIR: return HDW_E_NOTFOUND;
  case EEXIST:
  case EADDRINUSE: return HDW_E_EXISTS;
  case EACCES:
  case EPERM:
  case EROFS:
  case ELOOP: return HDW_E_DENIED;
  case ENOSPC:
  case EDQUOT:
  case EFBIG: return HDW_E_FULL;
  case EMFILE:
  case ENFILE: return HDW_E_LIMIT;
  case ENOMEM: return HDW_E_NOMEM;
  case EINVAL:
  case EADDRNOTAVAIL:
  case EAFNOSUPPORT: return HDW_E_INVALID;
  case EOPNOTSUPP: return HDW_E_UNSUPPORTED;
  default: return HDW_E_IO;
  }
}

static hdw_status fail(void) { return io_file_errno(errno); }

hdw_status io_file_open(const char *path, unsigned flags, int *fd) {
  int f = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  f |= (flags & IO_O_WRITE) || (flags & IO_O_APPEND) ? ((flags & IO_O_READ) ? O_RDWR : O_WRONLY) : O_RDONLY;
  if (flags & IO_O_CREATE) f |= O_CREAT;
  if (flags & IO_O_EXCL) f |= O_EXCL;
  if (flags & IO_O_TRUNC) f |= O_TRUNC;
  if (flags & IO_O_APPEND) f |= O_APPEND;
  do *fd = open(path, f, 0600);
  while (*fd < 0 && errno == EINTR);
  if (*fd < 0) return fail();
  if ((flags & IO_O_LOCK) && flock(*fd, LOCK_EX | LOCK_NB)) {
    close(*fd);
    *fd = -1;
    return HDW_E_DENIED;
  }
  return HDW_OK;
}

hdw_status io_file_close(int fd) { return close(fd) ? fail() : HDW_OK; }

/* Preallocated extents that were never written count as holes on ext4, xfs and btrfs; elsewhere everything may be data. */
hdw_status io_file_next_data(int fd, uint64_t off, uint64_t *next) {
  off_t at = lseek(fd, (off_t)off, SEEK_DATA);
  if (at < 0 && errno == ENXIO) at = lseek(fd, 0, SEEK_END);
  *next = at >= (off_t)off ? (uint64_t)at : off;
  return HDW_OK;
}

hdw_status io_file_pread(int fd, void *p, size_t len, uint64_t off, size_t *got) {
  *got = 0;
  while (*got < len) {
    ssize_t n = pread(fd, (char *)p + *got, len - *got, (off_t)(off + *got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail();
    if (n == 0) break;
    *got += (size_t)n;
  }
  return HDW_OK;
}

hdw_status io_file_pwritev(int fd, const io_slice *v, unsigned n, uint64_t off) {
  enum { BATCH = 256 };
  size_t skip = 0; /* bytes of v[0] already written */
  while (n) {
    struct iovec iov[BATCH];
    unsigned k = 0;
    for (; k < n && k < BATCH; k++) {
      iov[k].iov_base = (char *)(uintptr_t)v[k].p + (k ? 0 : skip);
      iov[k].iov_len = v[k].len - (k ? 0 : skip);
    }
    ssize_t w = pwritev(fd, iov, (int)k, (off_t)off);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) return fail();
    if (w == 0 && v[0].len > skip) return HDW_E_IO;
    off += (uint64_t)w;
    size_t left = (size_t)w + skip;
    while (n && left >= v[0].len) left -= v[0].len, v++, n--;
    skip = left;
  }
  return HDW_OK;
}

hdw_status io_file_append(int fd, const void *p, size_t len) {
  const char *s = (const char *)p;
  while (len) {
    ssize_t w = write(fd, s, len);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return w ? fail() : HDW_E_IO;
    s += w, len -= (size_t)w;
  }
  return HDW_OK;
}

hdw_status io_file_sync(int fd) { return fdatasync(fd) ? fail() : HDW_OK; }

hdw_status io_file_alloc(int fd, uint64_t len) {
  int r;
  do r = fallocate(fd, 0, 0, (off_t)len);
  while (r && errno == EINTR);
  if (!r) return HDW_OK;
  if (errno != EOPNOTSUPP) return fail();
  /* File systems without fallocate: only the length. */
  struct stat st;
  if (fstat(fd, &st)) return fail();
  return (uint64_t)st.st_size < len && ftruncate(fd, (off_t)len) ? fail() : HDW_OK;
}

hdw_status io_file_truncate(int fd, uint64_t len) { return ftruncate(fd, (off_t)len) ? fail() : HDW_OK; }

hdw_status io_file_stat(const char *path, io_stat_info *out) {
  struct stat st;
  memset(out, 0, sizeof *out);
  if (lstat(path, &st)) return fail();
  *out = (io_stat_info){.size_bytes = (uint64_t)st.st_size,
                        .inode = st.st_ino,
                        .device = st.st_dev,
                        .mtime_us = st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000,
                        .mode = st.st_mode & 07777,
                        .uid = st.st_uid,
                        .is_dir = S_ISDIR(st.st_mode),
                        .is_file = S_ISREG(st.st_mode),
                        .is_link = S_ISLNK(st.st_mode)};
  return HDW_OK;
}

hdw_status io_file_rename(const char *from, const char *to) { return rename(from, to) ? fail() : HDW_OK; }
hdw_status io_file_unlink(const char *path) { return unlink(path) ? fail() : HDW_OK; }
hdw_status io_file_mkdir(const char *path) { return mkdir(path, 0700) ? fail() : HDW_OK; }

hdw_status io_file_list(const char *path, io_dir_cb cb, void *user) {
  DIR *d = opendir(path);
  if (!d) return fail();
  errno = 0;
  for (struct dirent *e; (e = readdir(d)); errno = 0) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (!cb(e->d_name, user)) {
      errno = 0;
      break;
    }
  }
  hdw_status s = errno ? fail() : HDW_OK;
  closedir(d);
  return s;
}

hdw_status io_file_sync_dir(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail();
  hdw_status s = fsync(fd) ? fail() : HDW_OK;
  close(fd);
  return s;
}

hdw_status io_file_space(const char *path, io_space_info *out) {
  struct statfs st;
  if (statfs(path, &st)) return fail();
  out->free_bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
  out->total_bytes = (uint64_t)st.f_blocks * (uint64_t)st.f_bsize;
  switch ((uint32_t)st.f_type) {
  case NFS_SUPER_MAGIC:
  case SMB_SUPER_MAGIC:
  case 0xFF534D42u: /* cifs */
  case 0xFE534D42u: /* smb2 */
  case AFS_SUPER_MAGIC:
  case CEPH_SUPER_MAGIC:
  case FUSE_SUPER_MAGIC: out->remote = true; break;
  default: out->remote = false;
  }
  return HDW_OK;
}
