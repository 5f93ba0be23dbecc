// Futures: async, promise, packaged_task, shared, with exceptions.
#include <chrono>
#include <future>
#include <iostream>
#include <numeric>
#include <stdexcept>
#include <vector>

using namespace std::chrono_literals;

static long sum(const std::vector<int>& v, size_t from, size_t to)
{
    if (to - from < 1000)
        return std::accumulate(v.begin() + (long)from, v.begin() + (long)to, 0L);
    size_t middle = (from + to) / 2;
    auto left = std::async(std::launch::async, sum, std::cref(v), from, middle);
    return sum(v, middle, to) + left.get();
}

int main()
{
    std::vector<int> v(10000);
    std::iota(v.begin(), v.end(), 1);
    std::cout << sum(v, 0, v.size()) << '\n';
    auto lazy = std::async(std::launch::deferred, [] { return 42; });
    std::cout << (lazy.wait_for(0s) == std::future_status::deferred) << ' ' << lazy.get() << '\n';
    std::promise<int> p;
    auto f = p.get_future().share();
    std::cout << (f.wait_for(5ms) == std::future_status::timeout) << '\n';
    std::thread t([&] { p.set_value(7); });
    std::cout << f.get() + f.get() << '\n';
    t.join();
    auto bad = std::async(std::launch::async, []() -> int { throw std::runtime_error("inside"); });
    try {
        bad.get();
    } catch (const std::runtime_error& e) {
        std::cout << e.what() << '\n';
    }
    std::packaged_task<int(int)> task([](int n) { return n * 2; });
    auto result = task.get_future();
    task(21);
    std::cout << result.get() << '\n';
    std::promise<void> broken;
    auto none = broken.get_future();
    broken = {};
    try {
        none.get();
    } catch (const std::future_error& e) {
        std::cout << (e.code() == std::future_errc::broken_promise) << '\n';
    }
}
