/*
 * report.h: what is told of the program's threads: of the one that ended the program, and of all of
 * them when the host asks. It is raw: registers and the top of the stack as they are; the host, which
 * has the program's ELF file, makes a backtrace of them.
 */
#ifndef REPORT_H
#define REPORT_H

#include "kernel.h"

struct thread;

#define REPORT_STACK_MAX 16384UL
#define REPORT_MAX (REPORT_STACK_MAX + 512)

/* RADICS_OUT_EXIT's part about the current thread; at most REPORT_MAX bytes. */
size_t report_end(uint8_t *to);
/* Without a channel: the reason and what looks like return addresses, on the serial line. */
void report_on_serial(const char *why);

void report_asked(uint64_t nonce); /* RADICS_F_STACKS came */
void report_forget(void);          /* whoever asked is gone */
/* RADICS_F_STACKS_BACK frames, as many as there is room for. */
uint8_t *reports_put(uint8_t *out, const uint8_t *end);

#endif
