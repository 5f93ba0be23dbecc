/* signal.c: see signal.h. */
#include "signal.h"
#include "clock.h"
#include "heap.h"
#include "process.h"
#include "space.h"
#include "syscall.h"
#include "thread.h"
#include "time.h"
#include "user.h"

#define STACK_NEAR (64 * 1024UL)
#define CANNOT_BLOCK (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define IGNORED_BY_DEFAULT                                                                         \
    (SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH) |                   \
     SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))

static struct signal_action actions[SIGNALS + 1];
uint64_t signals_for_all;
static struct pending_signal *process_queue;

/* ---- sending ------------------------------------------------------------------------------ */

static bool ignored(int number)
{
    uint64_t handler = actions[number].handler;
    return handler == SIG_IGN || (handler == SIG_DFL && IGNORED_BY_DEFAULT & SIG_BIT(number));
}

/* Real-time signals (from 32) queue up; a lower one pends once. */
static int enqueue(uint64_t *pending, struct pending_signal **queue, const struct signal_info *info)
{
    if (info->number < 32 && *pending & SIG_BIT(info->number))
        return 0;
    struct pending_signal *p = heap_alloc_for_program(sizeof *p);
    if (!p)
        return -EAGAIN;
    p->info = *info;
    while (*queue)
        queue = &(*queue)->next;
    *queue = p;
    *pending |= SIG_BIT(info->number);
    return 0;
}

static void interrupt(struct thread *t)
{
    if (signals_pending(t))
        thread_wake(t, -EINTR);
}

int signal_thread(struct thread *t, const struct signal_info *info)
{
    if (!info->number || (ignored(info->number) && !(t->signals.mask & SIG_BIT(info->number))))
        return 0;
    int error = enqueue(&t->signals.pending, &t->signals.queue, info);
    interrupt(t);
    return error;
}

int signal_process(const struct signal_info *info)
{
    if (!info->number || ignored(info->number))
        return 0;
    int error = enqueue(&signals_for_all, &process_queue, info);
    for (struct list *l = all_threads.next; l != &all_threads; l = l->next) {
        struct thread *t = container_of(l, struct thread, all);
        if (!(t->signals.mask & SIG_BIT(info->number))) {
            interrupt(t);
            break;
        }
    }
    return error;
}

void signal_thread_once(struct thread *t, const struct signal_info *info)
{
    if (!(t->signals.pending & SIG_BIT(info->number)))
        signal_thread(t, info);
}

void signal_process_once(const struct signal_info *info)
{
    if (!(signals_for_all & SIG_BIT(info->number)))
        signal_process(info);
}

void signals_thread_end(struct thread *t)
{
    for (struct pending_signal *p = t->signals.queue, *next; p; p = next) {
        next = p->next;
        heap_free(p);
    }
}

/* ---- delivering --------------------------------------------------------------------------- */

static bool take(uint64_t *pending, struct pending_signal **queue, uint64_t mask,
                 struct signal_info *info)
{
    uint64_t ready = *pending & ~mask;
    if (!ready)
        return false;
    int number = __builtin_ctzl(ready) + 1;
    bool more = false, found = false;
    for (struct pending_signal *p; (p = *queue);) {
        if (p->info.number == number && !found) {
            *info = p->info;
            *queue = p->next;
            heap_free(p);
            found = true;
            continue;
        }
        more |= p->info.number == number;
        queue = &p->next;
    }
    if (!more)
        *pending &= ~SIG_BIT(number);
    return found;
}

static void run_handler(struct thread *t, const struct signal_info *info)
{
    struct signal_action action = actions[info->number];
    uint64_t old_mask = t->signals.has_old_mask ? t->signals.old_mask : t->signals.mask;
    if (frame_in_syscall(t->frame) && frame_result(t->frame) == -ERESTARTSYS) {
        if (action.flags & SA_RESTART)
            frame_restart(t->frame);
        else
            frame_set_result(t->frame, -EINTR);
    }
    if (signal_frame_push(t, info->number, &action, info, old_mask))
        process_die(SIGSEGV, ": no stack for a signal handler");
    t->signals.has_old_mask = false;
    t->signals.mask |= action.mask | (action.flags & SA_NODEFER ? 0 : SIG_BIT(info->number));
    t->signals.mask &= ~CANNOT_BLOCK;
    if (action.flags & SA_RESETHAND)
        actions[info->number].handler = SIG_DFL;
}

void signals_deliver(struct thread *t)
{
    struct signal_info info;
    if (!take(&t->signals.pending, &t->signals.queue, t->signals.mask, &info) &&
        !take(&signals_for_all, &process_queue, t->signals.mask, &info))
        return;
    if (ignored(info.number)) {
        if (frame_in_syscall(t->frame) && frame_result(t->frame) == -ERESTARTSYS)
            frame_restart(t->frame);
    } else if (actions[info.number].handler == SIG_DFL) {
        process_die(info.number, "");
    } else {
        run_handler(t, &info);
    }
}

/* How it looks when a stack is full: nothing is mapped where the stack grows to. */
static bool is_stack_overflow(uint64_t address)
{
    uint64_t sp = frame_stack(current->frame);
    const struct region *r = space_find(address);
    return (!r || !r->prot) && address - (sp - STACK_NEAR) < 2 * STACK_NEAR &&
           space_next(address + STACK_NEAR);
}

_Noreturn static void die_of_fault(int number, uint64_t address)
{
    char detail[96];
    uint64_t pc = frame_pc(current->frame);
    if (number == SIGSEGV || number == SIGBUS)
        format_text(detail, sizeof detail, " at 0x%lx touching 0x%lx%s", pc, address,
                    is_stack_overflow(address) ? ": its stack is full" : "");
    else
        format_text(detail, sizeof detail, " at 0x%lx", pc);
    process_die(number, detail);
}

void signal_fault(int number, int code, uint64_t address)
{
    struct signal_info info = {.number = number, .code = code, .address = address};
    uint64_t handler = actions[number].handler;
    if (handler == SIG_DFL || handler == SIG_IGN || current->signals.mask & SIG_BIT(number))
        die_of_fault(number, address);
    run_handler(current, &info);
}

uint64_t signals_mask_for_wait(uint64_t mask)
{
    uint64_t before = current->signals.mask;
    current->signals.old_mask = before;
    current->signals.has_old_mask = true;
    current->signals.mask = mask & ~CANNOT_BLOCK;
    return before;
}

void signals_mask_restore(uint64_t before)
{
    current->signals.has_old_mask = false;
    current->signals.mask = before;
}

/* ---- system calls ------------------------------------------------------------------------- */

int64_t sys_rt_sigaction(int number, uint64_t action, uint64_t old, size_t set_bytes)
{
    struct signal_action fresh;
    if (number < 1 || number > SIGNALS || set_bytes != 8)
        return -EINVAL;
    if (action && (number == SIGKILL || number == SIGSTOP))
        return -EINVAL;
    if (action && USER_GET(fresh, action))
        return -EFAULT;
    if (old && USER_PUT(old, actions[number]))
        return -EFAULT;
    if (action)
        actions[number] = fresh;
    return 0;
}

int64_t sys_rt_sigprocmask(int how, uint64_t set, uint64_t old, size_t set_bytes)
{
    uint64_t before = current->signals.mask, bits;
    if (set_bytes != 8 || how < 0 || how > 2)
        return -EINVAL;
    if (set) {
        if (USER_GET(bits, set))
            return -EFAULT;
        uint64_t after = how == 0 ? before | bits : how == 1 ? before & ~bits : bits;
        current->signals.mask = after & ~CANNOT_BLOCK;
    }
    return old ? USER_PUT(old, before) : 0;
}

int64_t sys_rt_sigpending(uint64_t set, size_t set_bytes)
{
    uint64_t bits = (current->signals.pending | signals_for_all) & current->signals.mask;
    return set_bytes == 8 ? USER_PUT(set, bits) : -EINVAL;
}

int64_t sys_rt_sigsuspend(uint64_t set, size_t set_bytes)
{
    uint64_t bits;
    if (set_bytes != 8)
        return -EINVAL;
    if (USER_GET(bits, set))
        return -EFAULT;
    signals_mask_for_wait(bits);
    while (thread_wait(NULL, NEVER) != -EINTR)
        ;
    return -EINTR;
}

int64_t sys_rt_sigtimedwait(uint64_t set, uint64_t info_at, uint64_t timeout, size_t set_bytes)
{
    uint64_t bits, deadline = NEVER;
    if (set_bytes != 8)
        return -EINVAL;
    if (USER_GET(bits, set))
        return -EFAULT;
    int64_t error = timeout ? time_deadline(timeout, false, false, &deadline) : 0;
    if (error)
        return error;
    uint64_t before = current->signals.mask;
    for (;;) {
        struct signal_info info;
        if (take(&current->signals.pending, &current->signals.queue, ~bits, &info) ||
            take(&signals_for_all, &process_queue, ~bits, &info)) {
            current->signals.mask = before;
            return info_at && USER_PUT(info_at, info) ? -EFAULT : info.number;
        }
        current->signals.mask = before & ~bits;
        int result = thread_wait(NULL, deadline);
        current->signals.mask = before;
        if (result == -ETIMEDOUT)
            return -EAGAIN;
        if (result == -EINTR && !((current->signals.pending | signals_for_all) & bits))
            return -EINTR;
    }
}

int64_t sys_rt_sigreturn(void)
{
    uint64_t mask;
    if (signal_frame_pop(current, &mask))
        process_die(SIGSEGV, ": bad signal frame");
    current->signals.mask = mask & ~CANNOT_BLOCK;
    return frame_result(current->frame);
}

int64_t sys_sigaltstack(uint64_t stack, uint64_t old)
{
    struct signal_alt_stack fresh, before = current->signals.alt_stack;
    uint64_t sp = frame_stack(current->frame);
    bool on_it = before.size && sp - before.sp < before.size;
    before.flags = before.size ? (on_it ? SS_ONSTACK : 0) : SS_DISABLE;
    if (stack) {
        if (USER_GET(fresh, stack))
            return -EFAULT;
        if (on_it)
            return -EPERM;
        if (fresh.flags & SS_DISABLE)
            fresh = (struct signal_alt_stack){0, 0, 0, 0};
        else if (fresh.size < 2048)
            return -ENOMEM;
        current->signals.alt_stack = fresh;
    }
    return old ? USER_PUT(old, before) : 0;
}

int64_t sys_tgkill(int pid, int tid, int number)
{
    struct thread *t = thread_find(tid);
    if (number < 0 || number > SIGNALS)
        return -EINVAL;
    if ((pid != PROCESS_ID && pid != -1) || !t)
        return -ESRCH;
    struct signal_info info = {.number = number, .code = SI_TKILL, .pid = PROCESS_ID};
    return signal_thread(t, &info);
}

int64_t sys_tkill(int tid, int number) { return sys_tgkill(-1, tid, number); }

int64_t sys_kill(int pid, int number)
{
    if (number < 0 || number > SIGNALS)
        return -EINVAL;
    if (pid != PROCESS_ID && pid != 0 && pid != -1)
        return -ESRCH;
    struct signal_info info = {.number = number, .code = SI_USER, .pid = PROCESS_ID};
    return signal_process(&info);
}

/* sigqueue and pthread_sigqueue: what the receiver is told is the sender's to say. */
static int64_t queued_info(int number, uint64_t info_at, struct signal_info *info)
{
    if (number < 0 || number > SIGNALS)
        return -EINVAL;
    if (user_read(info, info_at, sizeof *info))
        return -EFAULT;
    info->number = number;
    return 0;
}

int64_t sys_rt_sigqueueinfo(int pid, int number, uint64_t info_at)
{
    struct signal_info info;
    if (pid != PROCESS_ID)
        return -ESRCH;
    int64_t error = queued_info(number, info_at, &info);
    return error ? error : signal_process(&info);
}

int64_t sys_rt_tgsigqueueinfo(int pid, int tid, int number, uint64_t info_at)
{
    struct signal_info info;
    struct thread *t = thread_find(tid);
    if (pid != PROCESS_ID || !t)
        return -ESRCH;
    int64_t error = queued_info(number, info_at, &info);
    return error ? error : signal_thread(t, &info);
}
