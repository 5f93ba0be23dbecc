/*
 * ramfs.h: files in memory. They travel with the VM and end with it.
 * Directories hold names in the order of their making; a file's pages are allocated when written.
 */
#ifndef RAMFS_H
#define RAMFS_H

#include "kernel.h"

struct inode;
struct file;

void ramfs_init(void); /* /, /tmp, /dev */
void baked_init(void); /* baked.c: the image's files */
int64_t ramfs_size(const struct inode *i);

#endif
