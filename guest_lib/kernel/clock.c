/*
 * clock.c: the host's counter, measured against the timer whose frequency is known, unless the
 * architecture knows the counter's too.
 *
 * Time between two programmings of the timer is known to the nanosecond from the timer and in
 * ticks from the counter; the sums over all such spans give the counter's frequency, better the
 * longer it runs. Time itself always comes from the counter: the timer stands still once it fired.
 */
#include "clock.h"
#include "arch/arch.h"
#include "thread.h"

#define FIRST_SPAN_NS 200000UL      /* before time is told at all: 0.1 % at worst */
#define REFINE_TO_NS 100000000000UL /* then it is good enough for ever */

static uint64_t base_ns, base_counter, rate; /* rate: ns a tick, << 32 */
static uint64_t span_counter;                /* counter when the timer was last set */
static uint64_t sum_ticks, sum_ns;
static bool exact; /* the architecture knows the counter's frequency */
static uint64_t wall_offset, alarm;
static bool wall_known;

uint64_t clock_now(void)
{
    uint64_t ticks = counter_read() - base_counter;
    return base_ns + (uint64_t)((unsigned __int128)ticks * rate >> 32);
}

/* ns a tick << 32, without a 128-bit division. */
static uint64_t ratio(uint64_t ns, uint64_t ticks)
{
    for (; ns >> 32; ns >>= 1)
        ticks >>= 1;
    return (ns << 32) / ticks;
}

static void set_rate(void)
{
    uint64_t now = rate ? clock_now() : base_ns;
    if (!rate)
        now = base_ns + sum_ns;
    base_counter = counter_read();
    base_ns = now;
    rate = ratio(sum_ns, sum_ticks);
}

/* Call before the timer is set again: what can be learned from the span that ends. */
static void learn(void)
{
    uint64_t counter, ns;
    if (exact)
        return;
    timer_sample(&counter, &ns);
    if (ns < timer_started_with() && counter > span_counter && sum_ns < REFINE_TO_NS) {
        bool worth = ns > 20000;
        sum_ticks += worth ? counter - span_counter : 0;
        sum_ns += worth ? ns : 0;
        if (worth)
            set_rate();
    }
}

static void restart_timer(uint64_t ns)
{
    timer_set(ns);
    if (exact)
        return;
    uint64_t elapsed;
    timer_sample(&span_counter, &elapsed);
    /* the sample is taken a moment after the start: move it back by what the timer counted */
    if (rate)
        span_counter -= (elapsed << 32) / rate;
}

static uint64_t from, from_ns; /* where the first span begins */

void clock_begin(void)
{
    timer_init();
    timer_sample(&from, &from_ns);
}

static void measure(void)
{
    uint64_t to, to_ns;
    alarm = 0;
    rate = counter_rate();
    exact = rate;
    if (exact) {
        base_counter = span_counter = from;
        return;
    }
    do
        timer_sample(&to, &to_ns);
    while (to_ns - from_ns < FIRST_SPAN_NS);
    sum_ticks = to - from;
    sum_ns = to_ns - from_ns;
    set_rate();
    span_counter = from - (from_ns << 32) / rate;
}

void clock_init(uint64_t entered)
{
    measure();
    base_ns += (uint64_t)((unsigned __int128)(span_counter - entered) * rate >> 32);
}

void clock_resume(uint64_t at_ns)
{
    base_ns = at_ns;
    measure();
}

/* The timer was used for something else meanwhile, so this span teaches nothing. */
void clock_went_on(void)
{
    alarm = 0;
    restart_timer(TIMER_MAX_NS);
}

/* The battery clock takes long to ask, so it is asked when a program first wants to know and no
 * host has told. What is made at boot is from 1970. */
uint64_t clock_wall(void)
{
    if (!wall_known && current)
        clock_set_wall(machine_wall_s() * NS_PER_S);
    return wall_offset + clock_now();
}

void clock_set_wall(uint64_t wall_ns)
{
    wall_offset = wall_ns - clock_now();
    wall_known = true;
}

/* An alarm that is set already and comes earlier will do: whoever wakes looks at the time, and asks
 * again. So threads that hand over to each other do not program the timer every time. */
void clock_rang(void) { alarm = 0; }

void clock_alarm(uint64_t at_ns)
{
    uint64_t now = clock_now();
    if (alarm > now && alarm <= at_ns)
        return;
    alarm = MIN(at_ns, now + TIMER_MAX_NS);
    learn();
    restart_timer(alarm > now ? alarm - now : 1);
}
