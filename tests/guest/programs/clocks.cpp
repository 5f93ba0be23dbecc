// Sleeping takes as long as asked, clocks do not go back, wall time is the host's.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <thread>
#include <time.h>

// The processor's own counter, which here tells nanoseconds.
static unsigned long long counter()
{
#ifdef __x86_64__
    unsigned low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (unsigned long long)high << 32 | low;
#else
    unsigned long ticks;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#endif
}

int main(int argc, char** argv)
{
    using namespace std::chrono;
    auto start = steady_clock::now();
    std::this_thread::sleep_for(milliseconds(50));
    auto slept = duration_cast<milliseconds>(steady_clock::now() - start).count();
    std::cout << "slept " << (slept >= 50) << "\n";
    auto last = steady_clock::now();
    bool back = false;
    for (int i = 0; i < 50000; i++) {
        auto now = steady_clock::now();
        back |= now < last;
        last = now;
    }
    std::cout << "back " << back << "\n";
    start = steady_clock::now(); // longer than the timer's longest interval
    std::this_thread::sleep_for(milliseconds(2300));
    slept = duration_cast<milliseconds>(steady_clock::now() - start).count();
    std::cout << "long " << (slept >= 2300 && slept < 4000) << "\n";
    timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 20000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    std::cout << "absolute " << clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) << "\n";
    auto one = counter(), two = counter();
    std::cout << "counter " << (two >= one && two - one < 1000000000) << "\n";
    if (argc > 1 || argv[0][0] != '/')
        std::cerr << system_clock::to_time_t(system_clock::now()) << "\n";
}
