/*
 * thread.h: threads of the program, and who runs next.
 *
 * States: RUNNABLE (in the run queue, or current), WAITING (maybe in a wait queue, maybe with a
 * deadline), DEAD (its stack is freed by whoever runs next). Only schedule() changes the current
 * thread, and only a thread in the kernel calls it; a thread in user mode gets there by the
 * timer's interrupt. When nobody is runnable, the last thread's stack is where the kernel waits.
 */
#ifndef THREAD_H
#define THREAD_H

#include "arch/arch.h"
#include "kernel.h"
#include "signal.h"

#define SLICE_NS 10000000UL

struct wait_queue {
    struct list waiting;
};

enum thread_state { RUNNABLE, WAITING, DEAD };

struct thread {
    struct fp_state fp;
    uint64_t sp; /* where stack_switch goes on */
    char *stack; /* lowest address */
    struct frame *frame;
    int tid;
    enum thread_state state;
    int wake_result;
    struct list run;   /* in the run queue */
    struct list wait;  /* in a wait queue */
    struct list sleep; /* in the sleepers, by deadline */
    struct list all;
    uint64_t deadline, until; /* monotonic; and as it was asked for, see time.h */
    uint64_t ran_ns;          /* without the present stretch, if it is the current one */
    char name[16];
    uint64_t futex; /* address waited on */
    uint32_t futex_bits;
    uint64_t fs_base, gs_base;
    uint64_t clear_tid;   /* zeroed and woken at the thread's end */
    uint64_t robust_list; /* of mutexes that it holds, for its heirs */
    struct thread_signals signals;
};

#define THREAD_STACK 12288UL
#define THREADS_MAX 1024

extern struct thread *current;
extern struct list all_threads;
extern bool reschedule; /* a slice ended or somebody better to run woke up */

struct thread *thread_new(void); /* NULL: no memory; not runnable yet; frame to be filled in */
void thread_start(struct thread *t);
_Noreturn void thread_end(void); /* the current one */
struct thread *thread_find(int tid);
void thread_started(struct frame *f); /* by vectors.S */
_Noreturn void threads_run(struct thread *first);
unsigned threads_count(void);
uint64_t thread_cpu_ns(const struct thread *t);
uint64_t process_cpu_ns(void);

void wait_queue_init(struct wait_queue *q);
/* Blocks until woken (its result), the deadline (-ETIMEDOUT) or a signal (-EINTR). q may be NULL. */
int thread_wait(struct wait_queue *q, uint64_t deadline);
void threads_wall_set(void); /* the wall clock has been set: who waits for a time of it? */
void thread_wake(struct thread *t, int result);
int wake_all(struct wait_queue *q); /* how many */

/* Whether a signal waits that the thread takes. */
static inline bool signals_pending(const struct thread *t)
{
    return (t->signals.pending | signals_for_all) & ~t->signals.mask;
}

void schedule(void);     /* let others run; returns when it is this thread's turn */
void threads_tick(void); /* wakes sleepers whose time has come, ends slices */
/* Before the program goes on: park, signals, other threads. */
void leave_kernel(void);
/* Nothing to run: wait for an interrupt, and do what it asks for. */
void idle_once(void);

#endif
