/* sysinfo.c: what a program may ask about machine and process. */
#include "channel.h"
#include "clock.h"
#include "page.h"
#include "proc.h"
#include "process.h"
#include "random.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"
#include "layout.h"
#include "linux_abi.h"
#include "file.h"
#include "inode.h"

int64_t sys_uname(uint64_t to)
{
    struct {
        char system[65], node[65], release[65], version[65], machine[65], domain[65];
    } u = {"Linux", "", LINUX_VERSION, "RaDiCS " GUEST_VERSION, LINUX_MACHINE, ""};
    format_text(u.node, sizeof u.node, "%s", channel_vm_name());
    return USER_PUT(to, u);
}

int64_t sys_sysinfo(uint64_t to)
{
    struct {
        int64_t uptime;
        uint64_t loads[3], total, free, shared, buffers, swap, free_swap;
        uint16_t processes, pad;
        uint64_t high, free_high;
        uint32_t unit;
    } s = {.uptime = (int64_t)(clock_now() / NS_PER_S),
           .total = pages_total() * PAGE_SIZE,
           .free = pages_free() * PAGE_SIZE,
           .processes = 1,
           .unit = 1};
    return USER_PUT(to, s);
}

int64_t sys_getpid(void) { return PROCESS_ID; }
int64_t sys_getppid(void) { return 0; }
int64_t sys_zero(void) { return 0; }
int64_t sys_umask(unsigned mask)
{
    unsigned before = creation_mask;
    creation_mask = mask & 0777;
    return before;
}

int64_t sys_getrandom(uint64_t to, size_t n, unsigned flags)
{
    uint8_t part[256];
    (void)flags;
    n = MIN(n, RANDOM_AT_ONCE);
    for (size_t done = 0; done < n;) {
        size_t now = MIN(n - done, sizeof part);
        random_bytes(part, now);
        if (user_write(to + done, part, now))
            return done ? (int64_t)done : -EFAULT;
        done += now;
    }
    return (int64_t)n;
}

/* Told and remembered; what they limit is limited by memory alone. */
static uint64_t limits[16][2];

static void limit_of(unsigned what, uint64_t limit[2])
{
    static const uint64_t most[16] = {[3] = PROGRAM_STACK, [7] = FILES_MAX};
    bool fixed = most[what];
    limit[0] = limits[what][0] ? limits[what][0] - 1 : fixed ? most[what] : ~0UL;
    limit[1] = limits[what][1] ? limits[what][1] - 1 : what == 7 ? most[what] : ~0UL;
}

int64_t sys_prlimit64(int pid, unsigned what, uint64_t fresh, uint64_t old)
{
    uint64_t limit[2], wanted[2];
    if (pid && pid != PROCESS_ID)
        return -ESRCH;
    if (what >= ARRAY_SIZE(limits))
        return -EINVAL;
    limit_of(what, limit);
    if (fresh) {
        if (USER_GET(wanted, fresh))
            return -EFAULT;
        if (wanted[0] > wanted[1])
            return -EINVAL;
        if (wanted[1] > limit[1])
            return -EPERM;
        limits[what][0] = wanted[0] + 1; /* 0 is "never set", and so is no limit at all */
        limits[what][1] = wanted[1] + 1;
    }
    return old ? USER_PUT(old, limit) : 0;
}

int64_t sys_getrlimit(unsigned what, uint64_t to) { return sys_prlimit64(0, what, 0, to); }
int64_t sys_setrlimit(unsigned what, uint64_t from) { return sys_prlimit64(0, what, from, 0); }

int64_t sys_getrusage(int who, uint64_t to)
{
    uint64_t usage[18] = {0};
    uint64_t now = who == 1 ? thread_cpu_ns(current) : who == 0 ? process_cpu_ns() : 0;
    usage[0] = now / NS_PER_S;
    usage[1] = now % NS_PER_S / 1000;
    usage[4] = (pages_total() - pages_free()) * 4;
    return who < -1 || who > 1 ? -EINVAL : USER_PUT(to, usage);
}

int64_t sys_times(uint64_t to)
{
    uint64_t ticks = clock_now() / 10000000, t[4] = {process_cpu_ns() / 10000000, 0, 0, 0};
    return to && USER_PUT(to, t) ? -EFAULT : (int64_t)ticks;
}

/* One user, root, in one group, in a session of one process. */
int64_t sys_getresuid(uint64_t a, uint64_t b, uint64_t c)
{
    uint32_t root_id = 0;
    return USER_PUT(a, root_id) || USER_PUT(b, root_id) || USER_PUT(c, root_id) ? -EFAULT : 0;
}
int64_t sys_getpgid(int pid) { return pid && pid != PROCESS_ID ? -ESRCH : PROCESS_ID; }

int64_t sys_getcpu(uint64_t cpu, uint64_t node)
{
    uint32_t first = 0;
    return (cpu && USER_PUT(cpu, first)) || (node && USER_PUT(node, first)) ? -EFAULT : 0;
}

/* One processor: whoever runs sees what the others wrote. */
int64_t sys_membarrier(int command)
{
    const int commands = 0x1f9; /* all but the unsafe ones */
    return !command ? commands : command & ~commands || command & (command - 1) ? -EINVAL : 0;
}

int64_t sys_prctl(int what, uint64_t a)
{
    char name[sizeof current->name] = "";
    if (what == 16) /* PR_GET_NAME */
        return USER_PUT(a, current->name);
    if (what != 15) /* PR_SET_NAME */
        return -EINVAL;
    int64_t n = user_string(name, a, sizeof name);
    if (n < 0 && n != -ENAMETOOLONG)
        return n;
    name[sizeof name - 1] = 0;
    memcpy(current->name, name, sizeof name);
    return 0;
}
