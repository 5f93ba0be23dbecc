/*
 * timer.h: timers that send a signal when they run out: alarm and setitimer's three, and those of
 * timer_create. Some count time, some what the program has spent of the processor.
 */
#ifndef TIMER_H
#define TIMER_H

#include "kernel.h"

void timers_tick(uint64_t now);
/* When the next one runs out, if the program goes on running, or if it waits. Not worth a call
 * while none is armed. */
uint64_t timers_deadline(bool running);
extern bool timers_armed;

#endif
