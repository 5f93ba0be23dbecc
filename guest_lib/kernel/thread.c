/* thread.c: see thread.h. */
#include "thread.h"
#include "channel.h"
#include "clock.h"
#include "futex.h"
#include "heap.h"
#include "page.h"
#include "park.h"
#include "poll.h"
#include "process.h"
#include "time.h"
#include "timer.h"
#include "user.h"

struct thread *current;
struct list all_threads = {&all_threads, &all_threads};
bool reschedule;

static struct list run_queue = {&run_queue, &run_queue};
static struct list sleepers = {&sleepers, &sleepers};
static struct thread *dead; /* whose stack is still in use */
static uint64_t slice_end;
static uint64_t running_since; /* the current thread; NEVER: none runs */
static uint64_t ran_ns;        /* all threads, the dead ones too */
static unsigned count;
static int next_tid = 1;

/* ---- life --------------------------------------------------------------------------------- */

static int tid_new(void)
{
    while (thread_find(next_tid))
        next_tid = next_tid < 0x3fffffff ? next_tid + 1 : 1;
    return next_tid++;
}

struct thread *thread_new(void)
{
    /* What a thread touches at once, tables and its own stack included, must be there. */
    bool room = count < THREADS_MAX && pages_free() >= 64;
    struct thread *t = room ? heap_alloc(PAGE_SIZE) : NULL;
    if (!t || !(t->stack = heap_alloc(THREAD_STACK))) {
        heap_free(t);
        return NULL;
    }
    t->frame = (struct frame *)(t->stack + THREAD_STACK) - 1;
    t->tid = tid_new();
    t->deadline = NEVER;
    list_init(&t->run);
    list_init(&t->wait);
    list_init(&t->sleep);
    fp_reset(&t->fp);
    return t;
}

void thread_start(struct thread *t)
{
    t->sp = stack_prepare(t->frame);
    list_add_before(&all_threads, &t->all);
    count++;
    t->state = RUNNABLE;
    list_add_before(&run_queue, &t->run);
}

static void bury(void)
{
    if (!dead)
        return;
    heap_free(dead->stack);
    heap_free(dead);
    dead = NULL;
}

void thread_started(struct frame *f)
{
    (void)f;
    bury();
    leave_kernel();
}

_Noreturn void thread_end(void)
{
    uint32_t zero = 0;
    futex_thread_end();
    if (current->clear_tid && USER_PUT(current->clear_tid, zero) == 0)
        futex_wake(current->clear_tid, 1, ~0u);
    signals_thread_end(current);
    list_remove(&current->all);
    count--;
    current->state = DEAD;
    schedule();
    panic("a dead thread ran");
}

struct thread *thread_find(int tid)
{
    for (struct list *l = all_threads.next; l != &all_threads; l = l->next)
        if (container_of(l, struct thread, all)->tid == tid)
            return container_of(l, struct thread, all);
    return NULL;
}

unsigned threads_count(void) { return count; }

/* ---- processor time ----------------------------------------------------------------------- */

static uint64_t stretch_to(uint64_t now)
{
    return running_since == NEVER ? 0 : now - running_since;
}
static uint64_t stretch(void) { return stretch_to(clock_now()); }

static void account(uint64_t now)
{
    uint64_t ns = stretch_to(now);
    current->ran_ns += ns;
    ran_ns += ns;
    running_since += ns;
}

uint64_t thread_cpu_ns(const struct thread *t)
{
    return t->ran_ns + (t == current ? stretch() : 0);
}

uint64_t process_cpu_ns(void) { return ran_ns + stretch(); }

/* ---- waiting ------------------------------------------------------------------------------ */

void wait_queue_init(struct wait_queue *q) { list_init(&q->waiting); }

static void sleep_until(struct thread *t, uint64_t deadline)
{
    struct list *at = sleepers.next;
    while (at != &sleepers && container_of(at, struct thread, sleep)->deadline <= deadline)
        at = at->next;
    t->deadline = deadline;
    list_add_before(at, &t->sleep);
}

int thread_wait(struct wait_queue *q, uint64_t until)
{
    if (signals_pending(current))
        return -EINTR;
    if (until != NEVER) {
        uint64_t deadline = time_monotonic(until);
        if (deadline <= clock_now())
            return -ETIMEDOUT;
        current->until = until;
        sleep_until(current, deadline);
    }
    if (q)
        list_add_before(&q->waiting, &current->wait);
    current->state = WAITING;
    schedule();
    return current->wake_result;
}

void threads_wall_set(void)
{
    poll_again(); /* timerfd's; it takes threads out of the list */
    struct list before = sleepers;
    if (list_empty(&sleepers))
        return;
    before.next->prev = before.prev->next = &before;
    list_init(&sleepers);
    while (!list_empty(&before)) {
        struct thread *t = container_of(before.next, struct thread, sleep);
        list_remove(&t->sleep);
        sleep_until(t, t->until & TIME_WALL ? time_monotonic(t->until) : t->deadline);
    }
}

void thread_wake(struct thread *t, int result)
{
    if (t->state != WAITING)
        return;
    list_remove(&t->wait);
    list_remove(&t->sleep);
    t->deadline = NEVER;
    t->wake_result = result;
    t->state = RUNNABLE;
    list_add_before(&run_queue, &t->run);
}

int wake_all(struct wait_queue *q)
{
    int n = 0;
    for (; !list_empty(&q->waiting); n++)
        thread_wake(container_of(q->waiting.next, struct thread, wait), 0);
    return n;
}

/* ---- who runs ----------------------------------------------------------------------------- */

void threads_tick(void)
{
    clock_rang();
    uint64_t now = clock_now();
    while (!list_empty(&sleepers)) {
        struct thread *t = container_of(sleepers.next, struct thread, sleep);
        if (t->deadline > now)
            break;
        thread_wake(t, -ETIMEDOUT);
    }
    if (!list_empty(&run_queue) && now >= slice_end)
        reschedule = true;
    timers_tick(now);
    channel_tick(now);
}

static inline uint64_t next_event(bool running)
{
    uint64_t at = channel_deadline(), timers = timers_armed ? timers_deadline(running) : NEVER;
    at = MIN(at, timers);
    if (!list_empty(&sleepers))
        at = MIN(at, container_of(sleepers.next, struct thread, sleep)->deadline);
    if (running && !list_empty(&run_queue))
        at = MIN(at, slice_end);
    return at;
}

void idle_once(void)
{
    channel_idle();
    if (park_wanted()) {
        park();
        return; /* the hello may have brought work, or the next park */
    }
    uint64_t at = next_event(false);
    if (at != NEVER)
        clock_alarm(at);
    cpu_wait();
    threads_tick();
    channel_poll();
}

void schedule(void)
{
    reschedule = false;
    if (current->state == RUNNABLE) {
        if (list_empty(&run_queue))
            return;
        list_add_before(&run_queue, &current->run);
    }
    uint64_t now = clock_now();
    account(now);
    if (list_empty(&run_queue)) {
        running_since = NEVER;
        do
            idle_once();
        while (list_empty(&run_queue));
        running_since = now = clock_now();
    }
    struct thread *next = container_of(run_queue.next, struct thread, run), *old = current;
    list_remove(&next->run);
    slice_end = now + SLICE_NS;
    if (next == old)
        return;
    if (old->state == DEAD)
        dead = old;
    else
        fp_save(&old->fp);
    current = next;
    fp_restore(&next->fp);
    cpu_set_thread((uint64_t)(next->frame + 1), next->fs_base, next->gs_base);
    stack_switch(&old->sp, next->sp);
    bury();
}

void leave_kernel(void)
{
    while (park_wanted() || reschedule || signals_pending(current)) {
        if (park_wanted())
            park();
        else if (reschedule)
            schedule();
        else
            signals_deliver(current);
    }
    uint64_t at = next_event(true);
    if (at != NEVER)
        clock_alarm(at);
}

_Noreturn void threads_run(struct thread *first)
{
    uint64_t nowhere;
    list_remove(&first->run);
    current = first;
    running_since = clock_now();
    slice_end = running_since + SLICE_NS;
    fp_restore(&first->fp);
    cpu_set_thread((uint64_t)(first->frame + 1), first->fs_base, first->gs_base);
    stack_switch(&nowhere, first->sp);
    panic("the boot stack came back");
}
