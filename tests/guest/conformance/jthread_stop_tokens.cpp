// jthread and stop tokens: asked to stop, and told when.
#include <chrono>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <stop_token>
#include <thread>

using namespace std::chrono_literals;

int main()
{
    int turns = 0;
    {
        std::jthread t([&](std::stop_token stop) {
            while (!stop.stop_requested()) {
                turns++;
                std::this_thread::sleep_for(1ms);
            }
        });
        std::this_thread::sleep_for(20ms);
    }
    std::cout << (turns > 0) << '\n';
    std::mutex m;
    std::condition_variable_any c;
    bool stopped = false;
    std::jthread waiter([&](std::stop_token stop) {
        std::unique_lock lock(m);
        stopped = !c.wait(lock, stop, [] { return false; });
    });
    waiter.request_stop();
    waiter.join();
    std::cout << stopped << '\n';
    std::stop_source source;
    int calls = 0;
    std::stop_callback first(source.get_token(), [&] { calls++; });
    {
        std::stop_callback gone(source.get_token(), [&] { calls += 100; });
    }
    std::cout << source.request_stop() << source.request_stop() << ' ' << calls << '\n';
    std::stop_callback late(source.get_token(), [&] { calls += 10; });
    std::cout << calls << ' ' << std::stop_token().stop_possible() << '\n';
}
