/* inode.h: what ramfs.c (contents) and path.c, open.c and tree.c (names) share. */
#ifndef INODE_H
#define INODE_H

#include "kernel.h"
#include "linux_abi.h"

#define S_IFMT 0170000u
#define S_IFDIR 0040000u
#define S_IFCHR 0020000u
#define S_IFIFO 0010000u
#define S_IFREG 0100000u
#define S_IFLNK 0120000u
#define S_ISDIR(m) (((m)&S_IFMT) == S_IFDIR)
#define S_ISREG(m) (((m)&S_IFMT) == S_IFREG)
#define S_ISLNK(m) (((m)&S_IFMT) == S_IFLNK)

#define O_ACCMODE 3u
#define O_CREAT 0100u
#define O_EXCL 0200u
#define O_TRUNC 01000u
#define O_APPEND 02000u
#define O_CLOEXEC 02000000u
#define O_PATH 010000000u
#define O_TMPFILE 020000000u /* and O_DIRECTORY */

#define FILE_MAX (1UL << 32)
#define NAME_LENGTH_MAX 255
#define PATH_LENGTH_MAX 4096
#define AT_FDCWD (-100)

struct file_operations;

struct entry {
    struct entry *next;
    struct inode *inode;
    uint64_t cookie; /* grows: where a directory's reader goes on */
    size_t length;
    char name[];
};

struct inode {
    uint64_t number, size;
    unsigned mode, links;
    int references; /* open files, mappings, and the current directory */
    unsigned mappings;
    unsigned locks; /* flock: how many share it, LOCKED_ALONE for one that does not */
#define LOCKED_ALONE 1000000u
    uint32_t user, group;
    uint64_t accessed_ns, modified_ns, changed_ns;
    uint64_t *pages, capacity;   /* regular file: pages of its own, */
    uint64_t baked, baked_bytes; /* and where there is none, the image's bytes, then zeroes */
    struct entry *entries;       /* directory */
    struct inode *parent;
    uint64_t cookies;
    char *target; /* symbolic link */
    const struct file_operations *device;
    uintptr_t data; /* the device's */
};

extern struct inode *root;
extern unsigned creation_mask; /* umask */

struct inode *inode_new(unsigned mode);
void inode_put(struct inode *i); /* frees it if neither named nor open */
int inode_truncate(struct inode *i, uint64_t size);
/* What a page of a regular file holds: so many bytes there, then zeroes. */
size_t inode_page(const struct inode *i, uint64_t page, const char **bytes);
char *inode_own_page(struct inode *i, uint64_t page); /* to be written to; NULL: no memory */
void inode_written(struct inode *i);
void inode_bake(struct inode *i, uint64_t pa, uint64_t size);
bool inode_is_zero(const struct inode *i); /* /dev/zero */
struct file;
void inode_close(struct file *f); /* of every file that has an inode */
const struct file_operations *inode_operations(const struct inode *i);

struct entry *directory_find(struct inode *directory, const char *name, size_t n);
int directory_add(struct inode *directory, const char *name, size_t n, struct inode *i);
void directory_remove(struct inode *directory, struct entry *e);

#endif
