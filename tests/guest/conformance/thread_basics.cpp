// std::thread: made, joined, moved, with arguments of every kind.
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

static void add(int n, long& to) { to += n; }

struct Worker {
    int calls = 0;
    void run(int times) { calls += times; }
    int operator()(std::string s) { return calls += (int)s.size(); }
};

int main()
{
    long sum = 0;
    std::thread a(add, 5, std::ref(sum));
    a.join();
    Worker w;
    std::thread b(&Worker::run, &w, 3);
    b.join();
    std::thread c(std::ref(w), "seven!!");
    c.join();
    std::cout << sum << ' ' << w.calls << '\n';
    std::thread d([] {}), e = std::move(d);
    std::cout << d.joinable() << e.joinable() << ' ' << (e.get_id() != std::this_thread::get_id()) << '\n';
    e.join();
    std::vector<std::thread> many;
    std::vector<int> results(20);
    for (int i = 0; i < 20; i++)
        many.emplace_back([&results, i] { results[(size_t)i] = i * i; });
    for (auto& t : many)
        t.join();
    for (int r : results)
        sum += r;
    std::cout << sum << ' ' << (std::thread::hardware_concurrency() > 0) << '\n';
    try {
        std::thread().join();
    } catch (const std::system_error& error) {
        std::cout << (error.code() == std::errc::invalid_argument) << '\n';
    }
}
