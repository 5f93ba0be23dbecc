// Timers that send signals, what they say in siginfo, and processor time.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks, value, code;

static void on_signal(int, siginfo_t* info, void*)
{
    ticks = ticks + 1;
    value = info->si_value.sival_int;
    code = info->si_code;
}

static long cpu_us(clockid_t clock)
{
    timespec now;
    return clock_gettime(clock, &now) ? -1 : now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void posix_timers()
{
    timer_t timer;
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    event.sigev_value.sival_int = 42;
    itimerspec every{{0, 2000000}, {0, 2000000}}, now;
    ticks = 0;
    std::printf("%d", timer_create(CLOCK_MONOTONIC, &event, &timer));
    std::printf(" %d", timer_settime(timer, 0, &every, nullptr));
    while (ticks < 4);
    timer_gettime(timer, &now);
    std::printf(" %d %d %d", value, code == SI_TIMER, now.it_interval.tv_nsec == 2000000);
    std::printf(" %d", timer_delete(timer));
    std::printf(" %d\n", timer_delete(timer));

    static std::atomic<int> told{0};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = [](sigval v) { told += v.sival_int; };
    itimerspec once{{0, 0}, {0, 2000000}};
    std::printf("%d", timer_create(CLOCK_REALTIME, &event, &timer));
    timer_settime(timer, 0, &once, nullptr);
    while (!told)
        usleep(1000);
    std::printf(" %d\n", told.load());
}

static void interval_timers()
{
    const itimerval every{{0, 2000}, {0, 2000}}, never{};
    for (int which : {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF}) {
        ticks = 0;
        std::printf("%d ", setitimer(which, &every, nullptr));
        while (ticks < 3);
        setitimer(which, &never, nullptr);
    }
    std::printf("%d\n", ticks >= 3);
}

static void processor_time()
{
    clockid_t own;
    pthread_getcpuclockid(pthread_self(), &own);
    const clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, own};
    long before[3], slept[3];
    for (int i = 0; i < 3; i++)
        before[i] = cpu_us(clocks[i]);
    usleep(100000);
    for (int i = 0; i < 3; i++)
        slept[i] = cpu_us(clocks[i]) - before[i];
    for (volatile int i = 0; i < 20000000; i = i + 1);
    for (int i = 0; i < 3; i++)
        std::printf("%d%d ", slept[i] < 60000, cpu_us(clocks[i]) - before[i] > 5000);
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    std::printf("%d\n", usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec > 5000);
}

int main()
{
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    for (int number : {SIGUSR1, SIGALRM, SIGVTALRM, SIGPROF, SIGRTMIN})
        sigaction(number, &action, nullptr);
    posix_timers();
    interval_timers();
    processor_time();

    sigval seven{};
    seven.sival_int = 7;
    std::printf("%d", sigqueue(getpid(), SIGRTMIN, seven));
    std::printf(" %d %d\n", value, code == SI_QUEUE);
    seven.sival_int = 8;
    std::printf("%d", pthread_sigqueue(pthread_self(), SIGUSR1, seven));
    std::printf(" %d\n", value);
    char name[16];
    pthread_setname_np(pthread_self(), "worker");
    pthread_getname_np(pthread_self(), name, sizeof name);
    std::puts(name);
}
