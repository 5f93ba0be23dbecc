/*
 * clock.h: time. Monotonic time counts from the kernel's entry and, over a move, only the time in which
 * the VM ran on some host, with the pauses of its checkpoints there; it never goes back. Wall time is the
 * host's, taken anew at every hello.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include "kernel.h"

/* Starts to measure the counter; init and resume wait for what is left of the first span. */
void clock_begin(void);
void clock_init(uint64_t entered); /* the counter when the kernel was entered: time 0 */
void clock_resume(uint64_t at_ns); /* go on from here, on whatever host this is */
void clock_went_on(void); /* after a park that ended in the same QEMU */
uint64_t clock_now(void);          /* monotonic, ns */
uint64_t clock_wall(void);         /* Unix time, ns */
void clock_set_wall(uint64_t wall_ns);
void clock_rang(void);
void clock_alarm(uint64_t at_ns); /* be interrupted at about this time, or earlier */

#endif
