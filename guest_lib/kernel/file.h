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
    uint64_t (*ready_at)(
        struct file *f); /* when time alone makes it ready, or NEVER; may be NULL */
};

struct file {
    const struct file_operations *operations;
    struct inode *inode; /* in ramfs; NULL else */
    void *data;
    uint64_t position;
    uint32_t flags; /* O_* */
    int references;
    int kind;            /* S_IFCHR .. for fstat without inode */
    int lock;            /* flock's, or 0 */
    uint32_t changes;    /* how often it may have become ready: an edge for epoll */
    struct list watches; /* epoll's items for it */
};

void files_init(void);
struct file *file_new(const struct file_operations *operations, uint32_t flags);
struct file *file_get(int fd); /* NULL: EBADF */
int file_install(struct file *f, int lowest, bool close_on_exec);
/* A descriptor for a new file over `data`, which is closed with it, and on failure too. */
int64_t file_open(const struct file_operations *operations, uint32_t flags, bool close_on_exec,
                  void *data);
void file_put(struct file *f);
unsigned file_events(struct file *f); /* poll.c */
void file_changed(struct file *f);    /* it may have become ready: whoever waits for it looks */
void files_changed(const struct file_operations *kind);
void epoll_forget(struct file *f); /* epoll.c */
void file_unlock(struct file *f);  /* lock.c */
int64_t file_record_lock(struct file *f, uint64_t at, bool ask);

extern const struct file_operations console_operations; /* console.c */

#endif
