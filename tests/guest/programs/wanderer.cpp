// Self-checking while it is moved: threads that sleep, compute, hand over work by condition
// variable, and receive. Prints the same lines wherever and however often it is parked.
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <radics.hpp>

namespace {

std::atomic<bool> stop{false};
std::atomic<int> broken{0};

double series(int from)
{
    double sum = 0;
    for (int i = 1; i < 3000; i++)
        sum += std::sin(from + i) / i;
    return sum;
}

// Registers and FP state live in this loop; no system call for a long time.
void compute(int seed)
{
    const double expected = series(seed);
    while (!stop)
        if (series(seed) != expected)
            broken++;
}

void sleeper()
{
    auto last = std::chrono::steady_clock::now();
    while (!stop) {
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
        auto now = std::chrono::steady_clock::now();
        if (now < last + std::chrono::milliseconds(3))
            broken++;
        last = now;
    }
}

struct PingPong {
    std::mutex mutex;
    std::condition_variable changed;
    long count = 0;

    void play(int side)
    {
        for (;;) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return stop || count % 2 == side; });
            if (stop)
                return;
            count++;
            changed.notify_all();
        }
    }
};

} // namespace

int main()
{
    PingPong game;
    std::vector<std::thread> threads;
    for (int seed = 0; seed < 2; seed++)
        threads.emplace_back(compute, seed);
    threads.emplace_back(sleeper);
    for (int side = 0; side < 2; side++)
        threads.emplace_back([&game, side] { game.play(side); });

    std::uint64_t sum = 0, messages = 0;
    std::uint64_t epoch = radics::epoch();
    for (auto& message : radics::subscribe("numbers")) {
        messages++;
        if (message.number != messages)
            broken++;
        sum = sum * 31 + std::stoull(message.payload);
        std::cout << message.number << " " << sum << "\n";
        if (messages % 10 == 0)
            radics::send("dtn://check/", std::to_string(messages) + " " + std::to_string(sum));
        if (radics::epoch() < epoch)
            broken++;
        epoch = radics::epoch();
    }
    stop = true;
    game.changed.notify_all();
    for (auto& thread : threads)
        thread.join();
    std::cout << "broken " << broken << " played " << (game.count > 0) << std::endl;
    return broken ? 1 : 0;
}
