/* proc.h: /proc, and the few files elsewhere that tell of the machine. */
#ifndef PROC_H
#define PROC_H

#include "kernel.h"

struct inode;

#define LINUX_VERSION "5.10.0"

void proc_init(void);
/* /proc/self/fd: its names are the open descriptors. */
extern struct inode *proc_descriptors;
struct inode *proc_descriptor(const char *name, size_t n); /* NULL: none with a name */

#endif
