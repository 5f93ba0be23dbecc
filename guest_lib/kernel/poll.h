/*
 * poll.h: waiting for descriptors. A file that may have become ready says so with file_changed();
 * whoever waits for any file then looks again. With one processor and few waiters that is all the
 * bookkeeping it takes, and a thread's wait needs no list of what it waits for.
 */
#ifndef POLL_H
#define POLL_H

#include "kernel.h"

/* Until `look` finds something (> 0) or fails (< 0), the deadline (0), or a signal (-EINTR). */
int64_t poll_wait(int64_t (*look)(void *what), void *what, uint64_t deadline);
/* The same with another signal mask meanwhile; a handler that ends it runs under that mask. */
int64_t poll_wait_masked(int64_t (*look)(void *what), void *what, uint64_t deadline,
                         uint64_t mask_at, size_t mask_bytes);
/* Has all who wait look again: what is waited for has changed. */
void poll_again(void);

#endif
