/* syscall.c: the table of system calls. */
#include "syscall.h"
#include <asm/unistd.h>
#include "arch/arch.h"
#include "linux_abi.h"
#include "radics_abi.h"
#include "signal.h"
#include "thread.h"

void syscall_handle(struct frame *f);

typedef int64_t (*call)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);

/* The calling convention passes every argument in a 64-bit register, whatever its C type. */
#define CALL(name) [__NR_##name] = (call)(void (*)(void))sys_##name
#define SAME(name, other) [__NR_##name] = (call)(void (*)(void))sys_##other
#define ZERO(name) [__NR_##name] = (call)(void (*)(void))sys_zero

static const call calls[] = {
    LINUX_CALLS CALL(brk),
    CALL(chdir),
    CALL(clock_getres),
    CALL(clock_gettime),
    CALL(clock_nanosleep),
    CALL(clone3),
    CALL(close),
    CALL(copy_file_range),
    CALL(dup),
    CALL(dup3),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(epoll_pwait2),
    CALL(eventfd2),
    CALL(execve),
    CALL(exit),
    CALL(exit_group),
    CALL(faccessat),
    CALL(faccessat2),
    CALL(fallocate),
    CALL(fchdir),
    CALL(fchmod),
    CALL(fchmodat),
    CALL(fchown),
    CALL(fchownat),
    CALL(fcntl),
    CALL(flock),
    CALL(fstat),
    CALL(fstatfs),
    CALL(fsync),
    CALL(ftruncate),
    CALL(futex),
    CALL(get_robust_list),
    CALL(getcpu),
    CALL(getcwd),
    CALL(getdents64),
    CALL(getitimer),
    CALL(getpgid),
    CALL(getpid),
    CALL(getppid),
    CALL(getpriority),
    CALL(getrandom),
    SAME(getresgid, getresuid),
    CALL(getresuid),
    CALL(getrlimit),
    CALL(getrusage),
    SAME(getsid, getpgid),
    CALL(gettid),
    CALL(gettimeofday),
    CALL(ioctl),
    CALL(kill),
    CALL(linkat),
    CALL(lseek),
    CALL(madvise),
    CALL(membarrier),
    CALL(memfd_create),
    CALL(mincore),
    CALL(mkdirat),
    CALL(mmap),
    CALL(mprotect),
    CALL(mremap),
    CALL(munmap),
    CALL(nanosleep),
    CALL(newfstatat),
    CALL(openat),
    CALL(openat2),
    CALL(pipe2),
    CALL(ppoll),
    CALL(prctl),
    CALL(pread64),
    CALL(preadv),
    CALL(preadv2),
    CALL(prlimit64),
    CALL(pselect6),
    CALL(pwrite64),
    CALL(pwritev),
    CALL(pwritev2),
    CALL(read),
    CALL(readlinkat),
    CALL(readv),
    CALL(renameat),
    CALL(renameat2),
    CALL(rt_sigaction),
    CALL(rt_sigpending),
    CALL(rt_sigprocmask),
    CALL(rt_sigqueueinfo),
    CALL(rt_sigreturn),
    CALL(rt_sigsuspend),
    CALL(rt_sigtimedwait),
    CALL(rt_tgsigqueueinfo),
    CALL(sched_get_priority_max),
    CALL(sched_get_priority_min),
    CALL(sched_getaffinity),
    CALL(sched_getparam),
    CALL(sched_getscheduler),
    CALL(sched_rr_get_interval),
    CALL(sched_setparam),
    CALL(sched_setscheduler),
    CALL(sched_yield),
    CALL(sendfile),
    CALL(set_robust_list),
    CALL(set_tid_address),
    CALL(setitimer),
    CALL(setrlimit),
    CALL(sigaltstack),
    CALL(statfs),
    CALL(statx),
    CALL(symlinkat),
    CALL(socket),
    CALL(sysinfo),
    CALL(tgkill),
    CALL(timer_create),
    CALL(timer_delete),
    CALL(timer_getoverrun),
    CALL(timer_gettime),
    CALL(timer_settime),
    CALL(timerfd_create),
    CALL(timerfd_gettime),
    CALL(timerfd_settime),
    CALL(times),
    CALL(tkill),
    CALL(truncate),
    CALL(umask),
    CALL(uname),
    CALL(unlinkat),
    CALL(utimensat),
    CALL(write),
    CALL(writev),
    SAME(execveat, execve),
    SAME(fdatasync, fsync),
    SAME(socketpair, socket),
    /* One user, root, who may do anything, and one processor. Files are in memory. */
    ZERO(fadvise64),
    ZERO(getegid),
    ZERO(geteuid),
    ZERO(getgid),
    ZERO(getgroups),
    ZERO(getuid),
    ZERO(mlock),
    ZERO(mlock2),
    ZERO(mlockall),
    ZERO(msync),
    ZERO(munlock),
    ZERO(munlockall),
    ZERO(readahead),
    ZERO(sched_setaffinity),
    ZERO(setfsgid),
    ZERO(setfsuid),
    ZERO(setgid),
    ZERO(setgroups),
    ZERO(setpriority),
    ZERO(setregid),
    ZERO(setresgid),
    ZERO(setresuid),
    ZERO(setreuid),
    ZERO(setuid),
    ZERO(sync),
    ZERO(syncfs),
};

static const call radics_calls[] = {
    (call)(void (*)(void))sys_radics_send,
    (call)(void (*)(void))sys_radics_receive,
    (call)(void (*)(void))sys_radics_subscribe,
    (call)(void (*)(void))sys_radics_info,
    (call)(void (*)(void))sys_radics_log,
    (call)(void (*)(void))sys_radics_request,
    (call)(void (*)(void))sys_radics_request_cancel,
    (call)(void (*)(void))sys_radics_serve,
    (call)(void (*)(void))sys_radics_close,
    (call)(void (*)(void))sys_radics_subscribe_after,
    (call)(void (*)(void))sys_radics_timer,
    (call)(void (*)(void))sys_radics_timer_cancel,
    (call)(void (*)(void))sys_radics_checkpoint,
    (call)(void (*)(void))sys_radics_hint,
    (call)(void (*)(void))sys_radics_kv,
};

/* Calls that every C library tries and does without: not worth a line. */
static bool expected(uint64_t number) { return number == __NR_rseq; }

/* Built from asm/unistd.h: "number name", each ended by a NUL. */
static const char names[] =
#include "syscall_names.h"
    ;

static const char *name_of(uint64_t number)
{
    char start[24];
    size_t n = format_text(start, sizeof start, "%lu ", number);
    for (const char *name = names; *name; name += strlen(name) + 1)
        if (!memcmp(name, start, n))
            return name + n;
    return "?";
}

static int64_t unknown(uint64_t number)
{
    static uint64_t told[8];
    if (number < ARRAY_SIZE(told) * 64 && !(told[number / 64] >> number % 64 & 1) &&
        !expected(number)) {
        told[number / 64] |= 1UL << number % 64;
        klog(LOG_WARN, "system call %lu (%s) is not implemented", number, name_of(number));
    }
    return -ENOSYS;
}

void syscall_handle(struct frame *f)
{
    uint64_t number = FRAME_CALL(f);
    call function = NULL;
    if (number < ARRAY_SIZE(calls))
        function = calls[number];
    else if (number - RADICS_SYS_BASE < ARRAY_SIZE(radics_calls))
        function = radics_calls[number - RADICS_SYS_BASE];
    int64_t result = function ? function(FRAME_ARGUMENTS(f)) : unknown(number);
    frame_set_result(f, result);
    leave_kernel();
    /* Interrupted, but the signal was somebody else's after all. */
    if (frame_in_syscall(f) && frame_result(f) == -ERESTARTSYS)
        frame_restart(f);
}
