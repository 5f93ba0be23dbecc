/*
 * checkpoint.h: a program that waits for its own snapshot. To the memory that is saved, to go on and
 * to be started from it later look the same; the hello tells which it is: `branch` grows whenever
 * the VM is set back to an earlier state.
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include "kernel.h"

/* What a hello says: how the checkpoint of that output ended (0: nothing). */
void checkpoint_told(uint64_t number, uint32_t error, uint32_t branch);
/* The output that asked for the one that is waited for; 0: none. */
uint64_t checkpoint_wanted(void);

#endif
