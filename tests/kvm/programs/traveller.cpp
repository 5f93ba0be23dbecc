// Checks itself while it moves between KVM and TCG: time in every thread, also as the raw counter
// tells it, registers and FP state of a loop without system calls, work handed over between
// threads, a block of memory against its checksum, messages against their numbers. For each message
// it answers with a line that depends on all before, and at the end it says how it went.
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <radics.hpp>

namespace {

std::atomic<bool> stop{false};
std::atomic<long> late{0}, wrong{0}, torn{0}, naps{0}, sums{0};

std::uint64_t raw_counter()
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    std::uint64_t count;
    asm volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#endif
}

void sleep_and_watch_time()
{
    using namespace std::chrono_literals;
    auto last = std::chrono::steady_clock::now();
    auto counter = raw_counter();
    while (!stop) {
        std::this_thread::sleep_for(2ms);
        auto now = std::chrono::steady_clock::now();
        auto counted = raw_counter();
        late += now < last + 2ms || counted <= counter;
        last = now;
        counter = counted;
        naps++;
    }
}

// A compiler that knew `from` or saw it stay would do the sum once and for all.
double series(const volatile int& from)
{
    double sum = 0;
    for (int i = 1; i < 2000; i++)
        sum += std::sin(from + i) / i;
    return sum;
}

void compute(int seed_given)
{
    const volatile int seed = seed_given;
    const double expected = series(seed);
    while (!stop) {
        wrong += series(seed) != expected;
        sums++;
    }
}

struct PingPong {
    std::mutex mutex;
    std::condition_variable changed;
    long count = 0;

    void play(int side)
    {
        std::unique_lock lock(mutex);
        while (!stop) {
            changed.wait(lock, [&] { return stop || count % 2 == side; });
            count += !stop;
            changed.notify_all();
        }
    }
};

// Every word is changed in its turn; the sum is kept beside them and compared with all of them.
struct Block {
    std::vector<std::uint64_t> words = std::vector<std::uint64_t>(32768, 1);
    std::uint64_t sum = 32768, state = 88172645463325252;

    void change(std::size_t from)
    {
        for (std::size_t at = from; at < from + 512; at++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            auto& word = words[at % words.size()];
            sum += state - word;
            word = state;
        }
    }

    void check() const { torn += std::accumulate(words.begin(), words.end(), std::uint64_t{0}) != sum; }
};

} // namespace

int main()
{
    PingPong game;
    Block block;
    std::vector<std::thread> threads;
    threads.emplace_back(sleep_and_watch_time);
    threads.emplace_back(compute, 1);
    for (int side = 0; side < 2; side++)
        threads.emplace_back([&game, side] { game.play(side); });

    std::uint64_t total = 0, messages = 0;
    for (auto& message : radics::subscribe("numbers")) {
        messages++;
        wrong += message.number != messages || std::stoull(message.payload) != messages * 7;
        block.change(messages * 512);
        block.check();
        total = total * 31 + messages * 7;
        radics::send("dtn://check/", std::to_string(messages) + " " + std::to_string(total));
    }
    stop = true;
    game.changed.notify_all();
    for (auto& thread : threads)
        thread.join();
    block.check();
    std::cout << "late " << late << " wrong " << wrong << " torn " << torn << " naps " << naps << " sums " << sums
              << " games " << game.count << " epoch " << radics::epoch() << std::endl;
    return late || wrong || torn || !naps || !sums || !game.count;
}
