/* clone.c: making threads, and what a thread may ask about itself. No fork: one program a VM. */
#include <linux/sched.h>
#include "absent.h"
#include "syscall.h"
#include "thread.h"
#include "layout.h"
#include "process.h"
#include "user.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

int64_t sys_clone(uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid,
                  uint64_t tls)
{
    if ((flags & THREAD_FLAGS) != THREAD_FLAGS)
        return absent(ABSENT_FORK);
    if (!stack || tls >= PROGRAM_END)
        return -EINVAL;
    struct thread *t = thread_new();
    if (!t)
        return -EAGAIN;
    fp_save(&current->fp);
    t->fp = current->fp;
    *t->frame = *current->frame;
    frame_set_result(t->frame, 0);
    frame_set_stack(t->frame, stack);
    t->fs_base = current->fs_base;
    t->gs_base = current->gs_base;
    if (flags & CLONE_SETTLS)
        thread_set_tls(t, tls);
    memcpy(t->name, current->name, sizeof t->name);
    t->clear_tid = flags & CLONE_CHILD_CLEARTID ? child_tid : 0;
    t->signals.mask = current->signals.mask;
    thread_start(t);
    int tid = t->tid;
    if (flags & CLONE_PARENT_SETTID && USER_PUT(parent_tid, tid))
        klog(LOG_DEBUG, "clone: bad parent_tid");
    if (flags & CLONE_CHILD_SETTID && USER_PUT(child_tid, tid))
        klog(LOG_DEBUG, "clone: bad child_tid");
    return tid;
}

int64_t sys_clone_backwards(uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t tls,
                            uint64_t child_tid)
{
    return sys_clone(flags, stack, parent_tid, child_tid, tls);
}

int64_t sys_clone3(uint64_t args, size_t size)
{
    struct clone_args a = {0};
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    if (user_read(&a, args, MIN(size, sizeof a)))
        return -EFAULT;
    if (a.set_tid_size || a.cgroup || a.stack + a.stack_size < a.stack)
        return -EINVAL;
    return sys_clone(a.flags, a.stack + a.stack_size, a.parent_tid, a.child_tid, a.tls);
}

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

int64_t sys_arch_prctl(int what, uint64_t address)
{
    switch (what) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (address >= PROGRAM_END)
            return -EPERM;
        *(what == ARCH_SET_FS ? &current->fs_base : &current->gs_base) = address;
        cpu_set_thread((uint64_t)(current->frame + 1), current->fs_base, current->gs_base);
        return 0;
    case ARCH_GET_FS:
        return USER_PUT(address, current->fs_base);
    case ARCH_GET_GS:
        return USER_PUT(address, current->gs_base);
    default:
        return -EINVAL;
    }
}

int64_t sys_set_tid_address(uint64_t address)
{
    current->clear_tid = address;
    return current->tid;
}

int64_t sys_set_robust_list(uint64_t list, size_t size)
{
    if (size != 24) /* struct robust_list_head */
        return -EINVAL;
    current->robust_list = list;
    return 0;
}

int64_t sys_get_robust_list(int tid, uint64_t list_to, uint64_t size_to)
{
    const struct thread *t = tid ? thread_find(tid) : current;
    uint64_t size = 24;
    if (!t)
        return -ESRCH;
    return USER_PUT(list_to, t->robust_list) || USER_PUT(size_to, size) ? -EFAULT : 0;
}

int64_t sys_gettid(void) { return current->tid; }

int64_t sys_sched_yield(void)
{
    reschedule = true;
    return 0;
}

/* ---- scheduling: one processor, one policy, one priority ------------------------------------ */

#define SCHED_FIFO 1
#define SCHED_RR 2

static bool known_thread(int pid) { return pid >= 0 && (!pid || thread_find(pid)); }

int64_t sys_sched_getscheduler(int pid) { return known_thread(pid) ? 0 : -ESRCH; }
int64_t sys_sched_getparam(int pid, uint64_t to)
{
    int32_t priority = 0;
    return known_thread(pid) ? USER_PUT(to, priority) : -ESRCH;
}
int64_t sys_sched_setscheduler(int pid, int policy, uint64_t from)
{
    int32_t priority;
    if (!known_thread(pid))
        return -ESRCH;
    if (USER_GET(priority, from))
        return -EFAULT;
    return policy == SCHED_FIFO || policy == SCHED_RR ? -EPERM
           : policy < 0 || policy > 5 || priority     ? -EINVAL
                                                      : 0;
}
int64_t sys_sched_setparam(int pid, uint64_t from) { return sys_sched_setscheduler(pid, 0, from); }
int64_t sys_sched_get_priority_max(int policy)
{
    return policy == SCHED_FIFO || policy == SCHED_RR ? 99 : policy < 0 || policy > 5 ? -EINVAL : 0;
}
int64_t sys_sched_get_priority_min(int policy)
{
    return MIN(sys_sched_get_priority_max(policy), 1);
}
int64_t sys_sched_rr_get_interval(int pid, uint64_t to)
{
    uint64_t slice[2] = {0, SLICE_NS};
    return known_thread(pid) ? USER_PUT(to, slice) : -ESRCH;
}
int64_t sys_getpriority(int which, int who)
{
    return which < 0 || which > 2 ? -EINVAL : known_thread(who) ? 20 : -ESRCH;
}

int64_t sys_sched_getaffinity(int pid, size_t n, uint64_t to)
{
    uint64_t one = 1;
    if (pid && !thread_find(pid))
        return -ESRCH;
    if (n < sizeof one)
        return -EINVAL;
    return USER_PUT(to, one) ? -EFAULT : (int64_t)sizeof one;
}
