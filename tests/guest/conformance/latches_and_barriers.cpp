// latch, barrier and counting_semaphore.
#include <atomic>
#include <barrier>
#include <chrono>
#include <iostream>
#include <latch>
#include <semaphore>
#include <thread>
#include <vector>

int main()
{
    std::latch all(4);
    std::atomic<int> early = 0, done = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] {
            done++;
            all.arrive_and_wait();
            early += done != 4;
        });
    threads.clear();
    std::cout << early << ' ' << all.try_wait() << '\n';
    int rounds = 0;
    std::barrier sync(3, [&]() noexcept { rounds++; });
    for (int i = 0; i < 3; i++)
        threads.emplace_back([&] {
            for (int k = 0; k < 50; k++)
                sync.arrive_and_wait();
        });
    threads.clear();
    std::cout << rounds << '\n';
    std::counting_semaphore<3> room(3);
    std::atomic<int> inside = 0, most = 0;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([&] {
            for (int k = 0; k < 20; k++) {
                room.acquire();
                int now = ++inside;
                for (int m = most; now > m && !most.compare_exchange_weak(m, now);)
                    ;
                std::this_thread::yield();
                inside--;
                room.release();
            }
        });
    threads.clear();
    std::cout << (most <= 3) << ' ' << room.try_acquire() << '\n';
    std::binary_semaphore none(0);
    std::cout << none.try_acquire_for(std::chrono::milliseconds(5)) << '\n';
}
