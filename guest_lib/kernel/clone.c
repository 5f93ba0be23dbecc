/* clone.c: making threads, and what a thread may ask about itself. No fork: one program a VM. */
#include <linux/sched.h>
#include "syscall.h"
#include "thread.h"
#include "layout.h"
#include "process.h"
#include "user.h"

#define THREAD_FLAGS (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD)

int64_t sys_clone(uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid,
                  uint64_t tls)
{
    if ((flags & THREAD_FLAGS) != THREAD_FLAGS || !stack || tls >= PROGRAM_END)
        return -ENOSYS;
    struct thread *t = thread_new();
    if (!t)
        return -EAGAIN;
    fp_save(&current->fp);
    t->fp = current->fp;
    *t->frame = *current->frame;
    frame_set_result(t->frame, 0);
    frame_set_stack(t->frame, stack);
    t->fs_base = flags & CLONE_SETTLS ? tls : current->fs_base;
    t->gs_base = current->gs_base;
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

int64_t sys_gettid(void) { return current->tid; }

int64_t sys_sched_yield(void)
{
    reschedule = true;
    return 0;
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
