// Many threads that throw and catch at once.
#include <atomic>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int depth(int n)
{
    if (n == 0)
        throw std::runtime_error("bottom");
    return depth(n - 1) + 1;
}

int main()
{
    std::atomic<int> caught = 0, wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; t++)
        threads.emplace_back([&, t] {
            for (int i = 0; i < 60; i++) {
                try {
                    depth(t + i % 7);
                    wrong++;
                } catch (const std::runtime_error& e) {
                    (e.what() == std::string("bottom") ? caught : wrong)++;
                }
                if (i % 10 == 0)
                    std::this_thread::yield();
            }
        });
    for (auto& t : threads)
        t.join();
    std::cout << caught << ' ' << wrong << '\n';
}
