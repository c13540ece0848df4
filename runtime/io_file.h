/* io_file.h - the file entries of the seam on a real Linux file system; shared by io_linux.c and, over a scratch folder, io_sim.c. */
#ifndef HDW_IO_FILE_H
#define HDW_IO_FILE_H
#include "io.h"

hdw_status io_file_errno(int e);
hdw_status io_file_open(const char *path, unsigned flags, int *fd);
hdw_status io_file_close(int fd);
hdw_status io_file_next_data(int fd, uint64_t off, uint64_t *next);
hdw_status io_file_pread(int fd, void *p, size_t len, uint64_t off, size_t *got);
hdw_status io_file_pwritev(int fd, const io_slice *v, unsigned n, uint64_t off);
hdw_status io_file_append(int fd, const void *p, size_t len);
hdw_status io_file_sync(int fd);
hdw_status io_file_alloc(int fd, uint64_t len);
hdw_status io_file_truncate(int fd, uint64_t len);
hdw_status io_file_stat(const char *path, io_stat_info *out);
hdw_status io_file_rename(const char *from, const char *to);
hdw_status io_file_unlink(const char *path);
hdw_status io_file_mkdir(const char *path);
hdw_status io_file_list(const char *path, io_dir_cb cb, void *user);
hdw_status io_file_sync_dir(const char *path);
hdw_status io_file_space(const char *path, io_space_info *out);
#endif
