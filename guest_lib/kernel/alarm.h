/*
 * alarm.h: timers of the client API. They become messages of RADICS_STREAM_TIMERS when somebody
 * looks, so nothing happens in between. Times are monotonic: a move does not touch them.
 */
#ifndef ALARM_H
#define ALARM_H

#include "kernel.h"

uint64_t alarm_take(void); /* the number of one that is due, which is told; 0: none */
uint64_t alarm_deadline(void);

#endif
