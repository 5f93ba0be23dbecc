// operator new: aligned, nothrow, replaced, with a handler.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <new>
#include <vector>

static int handler_calls;

struct alignas(256) Wide {
    char bytes[300];
};

struct Own {
    static int alive;
    static void* operator new(size_t n)
    {
        alive++;
        return std::malloc(n);
    }
    static void operator delete(void* p)
    {
        alive--;
        std::free(p);
    }
};
int Own::alive = 0;

int main()
{
    auto* w = new Wide[3];
    std::cout << reinterpret_cast<uintptr_t>(w) % 256 << ' ' << sizeof *w << '\n';
    delete[] w;
    auto* o = new Own;
    std::cout << Own::alive;
    delete o;
    std::cout << Own::alive << '\n';
    char place[64];
    int* p = new (place) int(77);
    std::cout << *p << ' ' << (static_cast<void*>(p) == place) << '\n';
    volatile size_t huge = SIZE_MAX / 4;
    std::cout << (new (std::nothrow) char[huge] == nullptr) << '\n';
    std::set_new_handler([] {
        if (++handler_calls == 3)
            std::set_new_handler(nullptr);
    });
    try {
        (void)new char[huge];
    } catch (const std::bad_alloc&) {
        std::cout << "bad_alloc after " << handler_calls << '\n';
    }
    try {
        std::vector<int> v;
        v.resize(v.max_size() + 1);
    } catch (const std::length_error&) {
        std::cout << "length_error\n";
    }
}
