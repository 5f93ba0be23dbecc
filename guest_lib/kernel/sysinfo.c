/* sysinfo.c: what a program may ask about machine and process. */
#include "channel.h"
#include "clock.h"
#include "page.h"
#include "process.h"
#include "random.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"
#include "layout.h"

int64_t sys_uname(uint64_t to)
{
    struct {
        char system[65], node[65], release[65], version[65], machine[65], domain[65];
    } u = {"Linux", "", "5.10.0", "RaDiCS " GUEST_VERSION, "x86_64", ""};
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
    static unsigned now = 022;
    unsigned before = now;
    now = mask & 0777;
    return before;
}

int64_t sys_getrandom(uint64_t to, size_t n, unsigned flags)
{
    uint8_t part[256];
    (void)flags;
    n = MIN(n, 1UL << 25);
    for (size_t done = 0; done < n;) {
        size_t now = MIN(n - done, sizeof part);
        random_bytes(part, now);
        if (user_write(to + done, part, now))
            return done ? (int64_t)done : -EFAULT;
        done += now;
    }
    return (int64_t)n;
}

int64_t sys_getrlimit(unsigned what, uint64_t to)
{
    uint64_t limit[2] = {~0UL, ~0UL};
    if (what == 3) /* RLIMIT_STACK */
        limit[0] = PROGRAM_STACK;
    if (what == 7) /* RLIMIT_NOFILE */
        limit[0] = limit[1] = 1024;
    return what < 16 ? USER_PUT(to, limit) : -EINVAL;
}

int64_t sys_prlimit64(int pid, unsigned what, uint64_t fresh, uint64_t old)
{
    if (pid && pid != PROCESS_ID)
        return -ESRCH;
    if (fresh)
        return -EPERM;
    return old ? sys_getrlimit(what, old) : 0;
}

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
