/*
 * ramfs.h: files in memory. They travel with the VM and end with it.
 * Directories hold names in the order of their making; a file's pages are allocated when written.
 */
#ifndef RAMFS_H
#define RAMFS_H

#include "kernel.h"

struct inode;
struct file;

/* Makes /, /tmp, /dev, /proc and the image's files, the first time that a path is followed: many
 * programs never do, and they start sooner. */
void ramfs_ready(void);
/* What the kernel itself puts there, with the directories above; panics without memory. */
struct inode *ramfs_make(const char *path, unsigned mode);
void ramfs_link(const char *path, const char *target);
/* The same for a path of an image: NULL if it cannot be, or is there as something else. */
struct inode *ramfs_make_path(const char *path, size_t n, unsigned mode);
void baked_init(void); /* baked.c: the image's files */

#endif
