/* complaint.h: what was wrong with the host's frames, told to the host, a few at a time. */
#ifndef COMPLAINT_H
#define COMPLAINT_H

#include "kernel.h"

void complain(uint8_t code, uint8_t type, uint64_t detail); /* RADICS_E_* */
/* Writes the ERROR frames that wait; where the next frame goes. */
uint8_t *complaints_put(uint8_t *out);

#endif
