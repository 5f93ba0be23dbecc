// condition_variable: a bounded queue, time limits, all at once.
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main()
{
    std::mutex m;
    std::condition_variable filled, emptied;
    std::queue<int> q;
    long sum = 0;
    std::thread producer([&] {
        for (int i = 1; i <= 1000; i++) {
            std::unique_lock lock(m);
            emptied.wait(lock, [&] { return q.size() < 8; });
            q.push(i);
            filled.notify_one();
        }
    });
    for (int i = 0; i < 1000; i++) {
        std::unique_lock lock(m);
        filled.wait(lock, [&] { return !q.empty(); });
        sum += q.front();
        q.pop();
        emptied.notify_one();
    }
    producer.join();
    std::cout << sum << '\n';
    std::unique_lock lock(m);
    auto before = std::chrono::steady_clock::now();
    std::cout << (filled.wait_for(lock, 10ms) == std::cv_status::timeout) << ' ';
    std::cout << (std::chrono::steady_clock::now() - before >= 10ms) << '\n';
    int waiting = 0, passed = 0;
    bool open = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; i++)
        threads.emplace_back([&] {
            std::unique_lock own(m);
            waiting++;
            emptied.notify_one();
            filled.wait(own, [&] { return open; });
            passed++;
        });
    emptied.wait(lock, [&] { return waiting == 6; });
    open = true;
    filled.notify_all();
    lock.unlock();
    for (auto& t : threads)
        t.join();
    std::cout << passed << '\n';
}
