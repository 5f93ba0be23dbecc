/* random.h: one ChaCha20 generator; the host's seed goes in at every hello. */
#ifndef RANDOM_H
#define RANDOM_H

#include "kernel.h"

void random_init(void); /* from timing jitter: weak, and logged so when there is no channel */
void random_mix(const void *seed, size_t n);
void random_bytes(void *to, size_t n);
/* One call of a program's gets so many: more takes long, and nothing else runs meanwhile. */
#define RANDOM_AT_ONCE (64 * 1024UL)

#endif
