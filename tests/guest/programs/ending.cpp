// Ends in the way that its argument names, a few calls deep.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace deep
{
struct Well {
    [[gnu::noinline]] void poke(volatile int *p);
};
void Well::poke(volatile int *p)
{
    *p = 7;
    std::puts("not reached");
}
[[gnu::noinline]] int down(int n)
{
    volatile char filler[256];
    filler[n & 255] = static_cast<char>(n);
    return down(n + 1) + filler[n & 255];
}
} // namespace deep

[[gnu::noinline]] static void touch_all()
{
    std::vector<char *> blocks;
    while (auto *block = static_cast<char *>(std::malloc(1 << 20)))
        blocks.push_back(block);
    for (char *block : blocks)
        std::memset(block, 1, 1 << 20);
}

static void handler(int)
{
    deep::Well().poke(nullptr);
    std::puts("not reached");
}

[[gnu::noinline]] void choose(const std::string &how)
{
    if (how == "fault")
        deep::Well().poke(nullptr);
    else if (how == "abort")
        std::abort();
    else if (how == "throw")
        throw std::runtime_error("thrown");
    else if (how == "overflow")
        std::printf("%d\n", deep::down(0));
    else if (how == "null") {
        void (*volatile nowhere)() = nullptr;
        nowhere();
    } else if (how == "memory")
        touch_all();
    else if (how == "thread")
        std::thread([] { deep::Well().poke(reinterpret_cast<int *>(8)); }).join();
    else if (how == "handler") {
        std::signal(SIGUSR1, handler);
        std::raise(SIGUSR1);
    } else if (how == "illegal")
#ifdef __x86_64__
        asm volatile("ud2");
#else
        asm volatile(".inst 0");
#endif
    std::puts("end of choose");
}

int main(int argc, char **argv)
{
    choose(argc > 1 ? argv[1] : "fault");
    return 9;
}
