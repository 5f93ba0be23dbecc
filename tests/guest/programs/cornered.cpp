// Lawful calls that are hard on a kernel: each must answer soon, and none may bring it down.
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

using Clock = std::chrono::steady_clock;

// The nested-task flag makes a kernel's `iretq` fault, if it is let into the kernel.
static void nested_task()
{
    std::atomic<bool> stop = false;
    std::thread other([&] { while (!stop); });
    for (int i = 0; i < 10; i++) {
#ifdef __x86_64__
        __asm__ volatile("sub $128, %%rsp; pushfq; orq $0x4000, (%%rsp); popfq; add $128, %%rsp"
                         ::: "memory", "cc");
#endif
        sched_yield();
    }
    stop = true;
    other.join();
    std::puts("nested task");
}

// Moved to where they stand, two waiters could be moved for ever.
static void requeue_to_itself()
{
    static int word;
    auto wait = [] { syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0); };
    std::thread one(wait), two(wait);
    usleep(20000);
    syscall(SYS_futex, &word, FUTEX_REQUEUE, 0, long(INT_MAX), &word, 0);
    while (syscall(SYS_futex, &word, FUTEX_WAKE, 2, nullptr, nullptr, 0) == 0);
    word = 1;
    syscall(SYS_futex, &word, FUTEX_WAKE, 2, nullptr, nullptr, 0);
    one.join(), two.join();
    std::puts("requeue");
}

// Terabytes of addresses with hardly a page behind them.
static void much_of_nothing()
{
    const size_t half = 1ul << 44, all = 2 * half;
    auto reserve = [](size_t n) {
        return static_cast<char*>(
            mmap(nullptr, n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    };
    char* much = reserve(all);
    std::printf("%d %d\n", much != MAP_FAILED, madvise(much, all, MADV_DONTNEED));
    mprotect(much + half, 8192, PROT_READ | PROT_WRITE);
    much[half] = 7;
    char* moved = static_cast<char*>(mremap(much + half, 8192, 1 << 21, MREMAP_MAYMOVE));
    std::printf("%d\n", *moved);
    much = static_cast<char*>(mremap(reserve(half), half, all, MREMAP_MAYMOVE));
    std::printf("%d %d\n", much != MAP_FAILED, munmap(much, all));
}

// A directory that is only held open must take no more entries: nobody would ever free them.
static void removed_directory()
{
    mkdir("/tmp/radics-removed", 0700);
    int fd = open("/tmp/radics-removed", O_RDONLY | O_DIRECTORY);
    rmdir("/tmp/radics-removed");
    int made = mkdirat(fd, "d", 0700), why_not = errno;
    int opened = openat(fd, "f", O_CREAT | O_WRONLY, 0600);
    std::printf("%d %d %d %d\n", made, why_not == ENOENT, opened, errno == ENOENT);
}

int main()
{
    setvbuf(stdout, nullptr, _IOLBF, 0);
    auto begun = Clock::now();
    nested_task();
    requeue_to_itself();
    much_of_nothing();
    removed_directory();
    std::printf("soon %d\n", Clock::now() - begun < std::chrono::seconds(5));
    // A handler that is no address: the program's own death.
    struct sigaction action {};
    action.sa_handler = reinterpret_cast<void (*)(int)>(1ul << 63);
    sigaction(SIGUSR1, &action, nullptr);
    raise(SIGUSR1);
    std::puts("never");
}
