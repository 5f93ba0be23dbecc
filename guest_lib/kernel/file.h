/*
 * file.h: descriptors and what they lead to. An open file has operations; the ones it lacks answer
 * with the errno that fits. ramfs.c, console.c, device.c and pipe.c provide kinds of files.
 */
#ifndef FILE_H
#define FILE_H

#include "kernel.h"

#define FILES_MAX 1024

struct file;
struct inode;

struct file_operations {
    int64_t (*read)(struct file *f, uint64_t to, size_t n, uint64_t *at);
    int64_t (*write)(struct file *f, uint64_t from, size_t n, uint64_t *at);
    void (*close)(struct file *f);
    unsigned (*events)(struct file *f); /* POLL*; NULL: always ready for both */
};

struct file {
    const struct file_operations *operations;
    struct inode *inode; /* in ramfs; NULL else */
    void *data;
    uint64_t position;
    uint32_t flags; /* O_* */
    int references;
    int kind; /* S_IFCHR .. for fstat without inode */
    int lock; /* flock's, or 0 */
};

void files_init(void);
struct file *file_new(const struct file_operations *operations, uint32_t flags);
struct file *file_get(int fd); /* NULL: EBADF */
int file_install(struct file *f, int lowest, bool close_on_exec);
void file_put(struct file *f);
void file_unlock(struct file *f); /* lock.c */
int64_t file_record_lock(struct file *f, uint64_t at, bool ask);

extern const struct file_operations console_operations; /* console.c */

#endif
