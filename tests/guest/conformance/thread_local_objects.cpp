// thread_local: made when first used, destroyed with their thread.
#include <atomic>
#include <iostream>
#include <string>
#include <thread>

static std::atomic<int> made, gone;

struct Counted {
    int n = 0;
    std::string text = "a string that is longer than what fits inside";
    Counted() { made++; }
    ~Counted() { gone += n == 100; }
};

static thread_local Counted counted;
static thread_local int plain = 7;

int main()
{
    for (int i = 0; i < 5; i++)
        std::thread([] {
            for (int k = 0; k < 100; k++)
                counted.n++;
            plain += counted.n;
        }).join();
    std::thread([] { plain = 1; }).join(); // never touches the object
    std::cout << made << ' ' << gone << ' ' << plain << '\n';
    static thread_local std::string inner = "inner";
    inner += "!";
    std::string other;
    std::thread([&] {
        static thread_local int calls = 0;
        for (int i = 0; i < 3; i++)
            calls++;
        other = std::to_string(calls);
    }).join();
    std::cout << inner << ' ' << other << '\n';
}
