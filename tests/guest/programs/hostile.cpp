// System calls with wild arguments: each must answer, none may harm the kernel.
#include <cstdint>
#include <cstdio>
#include <random>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main()
{
    std::mt19937_64 random(7);
    // Ours to be written to, and nothing behind it.
    char* own = static_cast<char*>(mmap((void*)0x6000000000, 4096, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    __builtin_strcpy(own, "/tmp");
    const uint64_t wild[] = {0,          1,           4096,        (uint64_t)own,      0x7ffffffff000, ~0ull,
                             1ull << 47, 1ull << 63,  0xffffffff80100000,  0xffff800000000000,
                             0xffffc00000001000,      0xffffd000fee00000, 0xffff800040200000, 0xffffd00008000000,  ~0ull - 4095,
                             (uint64_t)own + 255,     0x400000,    uint64_t(-100)};
    const long never[] = {
#ifdef __x86_64__
                          SYS_arch_prctl, SYS_pause, SYS_poll, SYS_select, SYS_dup2, SYS_alarm, SYS_vfork, SYS_fork,
#endif
                          SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_kill, SYS_tkill,
                          SYS_tgkill, SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_clone, SYS_clone3,
                          SYS_munmap, SYS_mprotect, SYS_mmap, SYS_mremap, SYS_madvise,
                          SYS_brk, SYS_futex, SYS_nanosleep, SYS_clock_nanosleep, SYS_ppoll, SYS_pselect6, SYS_read,
                          SYS_timer_settime,
                          SYS_readv, SYS_write, SYS_writev, SYS_close, SYS_dup3,
                          SYS_setitimer, SYS_rt_sigaction, SYS_rt_sigprocmask,
                          SYS_sigaltstack, SYS_set_tid_address, SYS_pwrite64};
    auto any = [&] { return wild[random() % (sizeof wild / sizeof *wild)]; };
    long calls = 0;
    for (long number = 0; number < 460; number++) {
        bool skip = false;
        for (long n : never)
            skip |= n == number;
        for (int i = 0; i < 40 && !skip; i++, calls++)
            syscall(number, any(), any(), any(), any(), any(), any());
    }
    for (long number : {5200L, 5201L, 5202L, 5203L, 5204L, 5205L, 1L << 40, -1L})
        for (int i = 0; i < 200; i++, calls++)
            syscall(number, any(), any(), any(), any(), any(), any());
    // Those that could harm ourselves, with arguments that lie elsewhere.
    for (int i = 0; i < 400; i++, calls++) {
        uint64_t outside = 0x7000000000 + (random() % 64) * 4096, kernel = any() | 1ull << 63;
        syscall(SYS_munmap, outside, any());
        syscall(SYS_mprotect, outside, any(), any());
        syscall(SYS_mmap, outside, random() % 100000, random() % 8, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        syscall(SYS_mremap, outside, random() % 100000, random() % 100000, random() % 2, any());
        syscall(SYS_madvise, outside, random() % 100000, random() % 10);
        syscall(SYS_mmap, kernel & ~4095ull, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        syscall(SYS_futex, kernel, 0, any(), 0, any(), any());
        syscall(SYS_read, 0, kernel, any());
        syscall(SYS_write, 1, kernel, 100);
        syscall(SYS_writev, 1, kernel, 4);
        syscall(SYS_rt_sigaction, random() % 70, kernel, any(), 8);
    }
    std::puts(calls > 10000 ? "alive" : "too few");
}
