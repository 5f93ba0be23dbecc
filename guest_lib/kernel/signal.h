/*
 * signal.h: signals, as Linux's: actions belong to the process, masks to threads, and a signal
 * pends at either. They are delivered when a thread is about to leave the kernel.
 */
#ifndef SIGNAL_H
#define SIGNAL_H

#include "kernel.h"

enum {
    SIGHUP = 1,
    SIGINT = 2,
    SIGILL = 4,
    SIGTRAP = 5,
    SIGABRT = 6,
    SIGBUS = 7,
    SIGFPE = 8,
    SIGKILL = 9,
    SIGSEGV = 11,
    SIGPIPE = 13,
    SIGALRM = 14,
    SIGCHLD = 17,
    SIGCONT = 18,
    SIGSTOP = 19,
    SIGTSTP = 20,
    SIGTTIN = 21,
    SIGTTOU = 22,
    SIGURG = 23,
    SIGVTALRM = 26,
    SIGPROF = 27,
    SIGWINCH = 28
};
#define SIGNALS 64
#define SIG_BIT(n) (1UL << ((n)-1))
#define SIG_DFL 0UL
#define SIG_IGN 1UL
#define SA_NOCLDSTOP 1UL
#define SA_SIGINFO 4UL
#define SA_RESTORER 0x04000000UL
#define SA_ONSTACK 0x08000000UL
#define SA_RESTART 0x10000000UL
#define SA_NODEFER 0x40000000UL
#define SA_RESETHAND 0x80000000UL
#define SS_ONSTACK 1
#define SS_DISABLE 2
#define SI_USER 0
#define SI_KERNEL 0x80
#define SI_TKILL (-6)

/* Linux-internal result: -EINTR, or the call happens again if the handler says SA_RESTART. */
#define ERESTARTSYS 512

struct signal_action { /* the kernel's struct sigaction */
    uint64_t handler, flags, restorer, mask;
};

struct signal_info { /* the head of siginfo_t, which is 128 bytes */
    int32_t number, error, code, pad;
    union {
        uint64_t address;
        struct {
            int32_t pid, uid;
            uint64_t value;
        };
    };
    uint8_t rest[128 - 32];
};

struct pending_signal {
    struct pending_signal *next;
    struct signal_info info;
};

struct signal_alt_stack { /* stack_t */
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
};

struct thread_signals {
    uint64_t mask, pending;
    uint64_t old_mask; /* to restore after a handler that interrupted sigsuspend */
    bool has_old_mask;
    struct pending_signal *queue;
    struct signal_alt_stack alt_stack;
};

struct thread;

extern uint64_t signals_for_all; /* pending for whichever thread takes them */
/* Another mask while a call waits. After -EINTR it stays, until the handler has run. */
uint64_t signals_mask_for_wait(uint64_t mask); /* the one before */
void signals_mask_restore(uint64_t before);
void signals_deliver(struct thread *t); /* one, to the current thread */
int signal_thread(struct thread *t, const struct signal_info *info);
int signal_process(const struct signal_info *info);
/* A timer's: not if its last one is still pending. */
void signal_thread_once(struct thread *t, const struct signal_info *info);
void signal_process_once(const struct signal_info *info);
/* The current thread's own fault: cannot be blocked or ignored. */
void signal_fault(int number, int code, uint64_t address);
void signals_thread_end(struct thread *t);

#endif
