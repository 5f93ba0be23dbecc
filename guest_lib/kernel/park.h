/* park.h: stopping so that memory is all there is; and going on from memory. See park.c. */
#ifndef PARK_H
#define PARK_H

#include "kernel.h"

extern uint64_t park_now; /* when the VM was parked last: monotonic, ns */
void park_request(uint64_t nonce, uint64_t known);
extern bool park_asked;
static inline bool park_wanted(void) { return park_asked; }
void park(void); /* returns when it goes on: here, or after a warm start on whatever host */
bool park_is_warm(void);
_Noreturn void park_resume(uint64_t boot_info);

#endif
