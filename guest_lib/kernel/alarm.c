/* alarm.c: see alarm.h. */
#include "alarm.h"
#include "clock.h"
#include "radics_abi.h"
#include "stream.h"
#include "syscall.h"

static struct alarm {
    uint64_t number; /* 0: a free place */
    uint64_t due, period;
} alarms[RADICS_TIMERS_MAX];
static uint64_t last;

static struct alarm *first_due(void)
{
    struct alarm *first = NULL;
    for (struct alarm *a = alarms; a < alarms + RADICS_TIMERS_MAX; a++)
        if (a->number && (!first || a->due < first->due))
            first = a;
    return first;
}

uint64_t alarm_deadline(void)
{
    struct alarm *a = first_due();
    return a ? a->due : NEVER;
}

/* A periodic one that nobody looked at for long is due once, not as often as it was missed. */
uint64_t alarm_take(void)
{
    struct alarm *a = first_due();
    uint64_t now = a ? clock_now() : 0;
    if (!a || a->due > now)
        return 0;
    uint64_t number = a->number;
    if (!a->period)
        a->number = 0;
    else
        a->due += (1 + (now - a->due) / a->period) * a->period;
    return number;
}

int64_t sys_radics_timer(uint64_t delay, uint64_t period)
{
    uint64_t now = clock_now();
    struct alarm *a = alarms;
    while (a < alarms + RADICS_TIMERS_MAX && a->number)
        a++;
    if (a == alarms + RADICS_TIMERS_MAX)
        return -EAGAIN;
    if (delay > INT64_MAX || period > INT64_MAX)
        return -EINVAL;
    a->number = ++last;
    a->due = now + delay;
    a->period = period;
    streams_wake(); /* who waits for anything may have to wake up earlier now */
    return (int64_t)a->number;
}

int64_t sys_radics_timer_cancel(uint64_t number)
{
    for (struct alarm *a = alarms; number && a < alarms + RADICS_TIMERS_MAX; a++) {
        if (a->number == number) {
            a->number = 0;
            return 0;
        }
    }
    return -ENOENT;
}
