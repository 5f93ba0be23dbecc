// Every mutex of the library, and the locks that hold several.
#include <chrono>
#include <iostream>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main()
{
    std::mutex a, b;
    long x = 0, y = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&, i] {
            for (int k = 0; k < 2000; k++) {
                if (i % 2) {
                    std::scoped_lock both(a, b);
                    x++, y++;
                } else {
                    std::unique_lock lb(b, std::defer_lock), la(a, std::defer_lock);
                    std::lock(lb, la);
                    x++, y++;
                }
            }
        });
    for (auto& t : threads)
        t.join();
    std::cout << x << ' ' << y << '\n';
    std::recursive_mutex r;
    std::lock_guard one(r), two(r);
    std::timed_mutex timed;
    timed.lock();
    bool got = true;
    std::thread([&] { got = timed.try_lock_for(5ms); }).join();
    std::cout << got << '\n';
    std::shared_mutex s;
    std::shared_lock first(s), second(s);
    std::thread([&] { got = s.try_lock(); }).join();
    std::cout << got << '\n';
    first.unlock(), second.unlock();
    std::thread([&] { got = s.try_lock(); }).join();
    std::cout << got << '\n';
    std::once_flag once;
    int calls = 0;
    for (int i = 0; i < 3; i++)
        std::call_once(once, [&] { calls++; });
    std::cout << calls << '\n';
}
