// Mutexes, condition variables, futures, thread_local, preemption of a thread that never calls.
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <future>
#include <iostream>
#include <mutex>
#include <queue>
#include <shared_mutex>
#include <stdexcept>
#include <thread>
#include <vector>

thread_local int mine = 5;

static long produce_and_consume()
{
    std::mutex mutex;
    std::condition_variable changed;
    std::queue<int> queue;
    bool done = false;
    long sum = 0;
    std::thread consumer([&] {
        for (;;) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return done || !queue.empty(); });
            if (queue.empty())
                return;
            sum += queue.front();
            queue.pop();
        }
    });
    std::vector<std::thread> producers;
    for (int p = 0; p < 4; p++)
        producers.emplace_back([&, p] {
            for (int i = 0; i < 1000; i++) {
                std::lock_guard lock(mutex);
                queue.push(i + p);
                changed.notify_one();
            }
        });
    for (auto& t : producers)
        t.join();
    {
        std::lock_guard lock(mutex);
        done = true;
    }
    changed.notify_all();
    consumer.join();
    return sum;
}

int main()
{
    std::cout << produce_and_consume() << "\n";

    auto series = [] {
        double s = 0;
        for (int i = 1; i < 100000; i++)
            s += std::sin(i);
        return s;
    };
    auto future = std::async(std::launch::async, series);
    double here = series();
    std::cout << (future.get() == here) << "\n";

    std::atomic<int> count{0};
    std::vector<std::thread> crowd;
    for (int i = 0; i < 40; i++)
        crowd.emplace_back([&, i] {
            mine = i;
            for (int k = 0; k < 2000; k++)
                count++;
            std::this_thread::yield();
            if (mine != i)
                std::abort();
        });
    for (auto& t : crowd)
        t.join();
    std::cout << count << " " << mine << "\n";

    std::promise<int> promise;
    std::thread thrower([&] { promise.set_exception(std::make_exception_ptr(std::runtime_error("x"))); });
    try {
        promise.get_future().get();
    } catch (const std::exception& e) {
        std::cout << "from a thread: " << e.what() << "\n";
    }
    thrower.join();

    std::atomic<bool> stop{false};
    std::thread spinner([&] {
        while (!stop) {
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    stop = true;
    spinner.join();

    std::timed_mutex timed;
    timed.lock();
    std::thread waiter([&] { std::cout << timed.try_lock_for(std::chrono::milliseconds(20)) << "\n"; });
    waiter.join();
    for (int i = 0; i < 300; i++) // one after the other: stacks are given back
        std::thread([] {}).join();
    std::cout << "done\n";
}
