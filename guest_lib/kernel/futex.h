/* futex.h: waiting for a word of the program's memory to change. */
#ifndef FUTEX_H
#define FUTEX_H

#include "kernel.h"

int futex_wait(uint64_t address, uint32_t expected, uint64_t deadline, uint32_t bits);
int futex_wake(uint64_t address, unsigned most, uint32_t bits);
void futex_thread_end(void); /* tells who waits for a mutex that the current thread takes along */
int64_t sys_futex(uint64_t address, int op, uint32_t value, uint64_t timeout, uint64_t address2,
                  uint32_t value3);

#endif
