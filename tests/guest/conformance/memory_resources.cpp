// Allocators that are resources: arenas, pools, and what they ask for.
#include <array>
#include <cstddef>
#include <iostream>
#include <map>
#include <memory_resource>
#include <string>
#include <vector>

struct Counting : std::pmr::memory_resource {
    int allocations = 0;
    long bytes = 0;
    void* do_allocate(size_t n, size_t align) override
    {
        allocations++, bytes += (long)n;
        return std::pmr::new_delete_resource()->allocate(n, align);
    }
    void do_deallocate(void* p, size_t n, size_t align) override
    {
        bytes -= (long)n;
        std::pmr::new_delete_resource()->deallocate(p, n, align);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

int main()
{
    Counting counting;
    {
        std::array<std::byte, 4096> buffer;
        std::pmr::monotonic_buffer_resource arena(buffer.data(), buffer.size(), &counting);
        std::pmr::vector<std::pmr::string> v(&arena);
        for (int i = 0; i < 20; i++)
            v.emplace_back("a string that needs memory of its own");
        std::cout << counting.allocations << ' ' << (v[0].get_allocator().resource() == &arena) << '\n';
        for (int i = 0; i < 200; i++)
            v.emplace_back("more than the buffer can hold, by far");
        std::cout << (counting.allocations > 0) << '\n';
    }
    std::cout << counting.bytes << '\n';
    {
        std::pmr::unsynchronized_pool_resource pool(&counting);
        std::pmr::map<int, std::pmr::string> m(&pool);
        for (int i = 0; i < 1000; i++)
            m[i] = "value";
        std::cout << m.size() << ' ' << m.at(999) << '\n';
    }
    std::cout << counting.bytes << '\n';
    std::pmr::vector<int> none(std::pmr::null_memory_resource());
    try {
        none.push_back(1);
    } catch (const std::bad_alloc&) {
        std::cout << "bad_alloc\n";
    }
}
