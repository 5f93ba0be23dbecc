/* time.h: Linux's times and clocks, as system calls take them. */
#ifndef TIME_H
#define TIME_H

#include "kernel.h"

struct time {
    int64_t s, ns; /* or µs, in struct timeval */
};

struct time time_split(uint64_t ns);
/* False if it is no time; far beyond what 64 bits of nanoseconds hold is as good as never. */
bool time_to_ns(const struct time *t, uint64_t *ns);
/* A deadline is monotonic, or TIME_WALL and a time of the wall clock: a wait for that one ends when
 * the wall clock gets there, also when it was set meanwhile, as after a move. */
#define TIME_WALL (1UL << 63)
uint64_t time_monotonic(uint64_t deadline); /* where it is now */
/* A struct timespec of the program's, relative or absolute, as a deadline. */
int64_t time_deadline(uint64_t timespec, bool absolute, bool wall, uint64_t *deadline);

bool clock_known(int clock); /* one that goes on while the program sleeps */
bool clock_is_wall(int clock);

#endif
