/* path.h: where a path leads. `at` as in openat; the results are 0 or an errno. */
#ifndef PATH_H
#define PATH_H

#include "inode.h"

/* What a path leads to. `inode` is NULL if only the last name does not exist. */
struct place {
    struct inode *parent, *inode;
    char name[NAME_LENGTH_MAX + 1];
    size_t length;
    bool slash; /* the path ended with one: must be a directory */
};

/* follow: a link in the last place too. */
int path_look_up(int at, uint64_t path, bool follow, struct place *p);
int path_existing(int at, uint64_t path, bool follow, struct inode **i); /* not NULL */
int path_vacant(int at, uint64_t path, struct place *p); /* where something new may be made */
int path_create(struct place *p, unsigned mode, struct inode **made);

#endif
