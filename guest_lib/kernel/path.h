/* path.h: where a path leads. */
#ifndef PATH_H
#define PATH_H

#include "kernel.h"

struct inode;
/* `at` as in openat; follow: a link in the last place too. 0 or an errno. */
int path_existing(int at, uint64_t path, bool follow, struct inode **i);

#endif
