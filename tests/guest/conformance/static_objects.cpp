// Objects that live as long as the program: made in order, once, destroyed in reverse.
#include <atomic>
#include <iostream>
#include <thread>
#include <vector>

struct Said {
    const char* text;
    explicit Said(const char* t) : text(t) { std::cout << "+" << text << '\n'; }
    ~Said() { std::cout << "-" << text << std::endl; }
};

static Said first("first");
static Said second("second");
inline Said inlined("inline");
static std::atomic<int> made;

struct Slow {
    int n;
    Slow()
    {
        made++;
        for (int i = 0; i < 50; i++)
            std::this_thread::yield();
        n = 42;
    }
};

static int value()
{
    static Slow once;
    return once.n;
}

static int flaky()
{
    static int tries = 0;
    static int got = [] {
        if (++tries < 3)
            throw tries;
        return tries;
    }();
    return got;
}

int main()
{
    std::vector<std::thread> threads;
    std::atomic<int> sum = 0;
    for (int i = 0; i < 8; i++)
        threads.emplace_back([&] { sum += value(); });
    for (auto& t : threads)
        t.join();
    std::cout << sum << ' ' << made << '\n';
    for (int i = 0; i < 4; i++) {
        try {
            std::cout << flaky() << ' ';
        } catch (int n) {
            std::cout << "threw " << n << ' ';
        }
    }
    static Said local("local");
    std::cout << "\nend of main\n";
}
