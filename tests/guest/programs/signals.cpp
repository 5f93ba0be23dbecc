// Handlers for faults and for signals sent; masks; interrupted calls; then death by SIGTERM.
#include <csetjmp>
#include <csignal>
#include <iostream>
#include <pthread.h>
#include <thread>
#include <unistd.h>

static sigjmp_buf back;
static volatile int got;
static void* volatile where;

static void on_fault(int number, siginfo_t* info, void*)
{
    where = info->si_addr;
    siglongjmp(back, number);
}

static void on_signal(int number)
{
    volatile double scratch = number * 1.5; // handlers may use the FPU
    got = static_cast<int>(scratch / 1.5);
}

template <class Action>
static void fault(const char* name, Action action)
{
    if (int number = sigsetjmp(back, 1))
        std::cout << name << " " << number << std::endl;
    else
        action();
}

int main()
{
    static char stack[65536];
    stack_t alternate{};
    alternate.ss_sp = stack;
    alternate.ss_size = sizeof stack;
    sigaltstack(&alternate, nullptr);
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int number : {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP})
        sigaction(number, &action, nullptr);

    fault("null", [] { *(volatile int*)8 = 1; });
    std::cout << where << "\n";
#ifdef __x86_64__
    fault("divide", [] {
        volatile int zero = 0, seven = 7;
        seven = seven / zero;
    });
    fault("illegal", [] { __asm__ volatile("ud2"); });
    fault("kernel text", [] { *(volatile int*)0xffffffff80100000 = 1; });
    fault("kernel data", [] { (void)*(volatile int*)0xffff800000100000; });
    fault("privileged", [] { __asm__ volatile("hlt"); });
    fault("port", [] { __asm__ volatile("outb %%al, $0xf4" ::"a"(0)); });
#else
    fault("break", [] { __asm__ volatile("brk #1"); });
    fault("illegal", [] { __asm__ volatile("udf #0"); });
    fault("kernel text", [] { *(volatile int*)0xffffffffc0180000 = 1; });
    fault("kernel data", [] { (void)*(volatile int*)0xffff800040100000; });
    fault("privileged", [] { __asm__ volatile("msr daifset, #2"); });
    fault("unaligned", [] {
        alignas(8) static char bytes[16];
        unsigned long got;
        __asm__ volatile("ldxr %0, [%1]" : "=r"(got) : "r"(bytes + 1));
    });
#endif
    fault("not canonical", [] { *(volatile int*)0x8000000000000000 = 1; });
    fault("constant", [] { *(volatile char*)(uintptr_t)"constant" = 1; });
    fault("no code", [] {
        static char data[16];
        ((void (*)())(uintptr_t)data)();
    });

    signal(SIGUSR1, on_signal);
    double kept = 1.25;
    raise(SIGUSR1);
    std::cout << got << " " << kept << "\n";

    got = 0;
    std::thread sleeper([] { std::cout << pause() << "\n"; });
    usleep(20000);
    pthread_kill(sleeper.native_handle(), SIGUSR1);
    sleeper.join();
    std::cout << got << "\n";

    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    got = 0;
    kill(getpid(), SIGUSR1);
    sigpending(&pending);
    std::cout << got << sigismember(&pending, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
    std::cout << got << "\n";

    signal(SIGALRM, on_signal);
    ualarm(30000, 30000); // again and again: the first may come before the sleep
    std::cout << usleep(5000000) << got << "\n";
    ualarm(0, 0);

    try {
        throw 1;
    } catch (int) {
        std::cout << "exceptions still work" << std::endl;
    }
    raise(SIGTERM);
    std::cout << "never" << std::endl;
}
