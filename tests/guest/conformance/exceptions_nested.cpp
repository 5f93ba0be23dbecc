// Exceptions inside exceptions, kept, and carried between threads.
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

static void show(const std::exception& e, int depth = 0)
{
    std::cout << std::string(depth, ' ') << e.what() << '\n';
    try {
        std::rethrow_if_nested(e);
    } catch (const std::exception& inner) {
        show(inner, depth + 1);
    }
}

static void run(int n)
{
    try {
        if (n == 0)
            throw std::runtime_error("the cause");
        run(n - 1);
    } catch (...) {
        std::throw_with_nested(std::runtime_error("level " + std::to_string(n)));
    }
}

int main()
{
    try {
        run(3);
    } catch (const std::exception& e) {
        show(e);
    }
    std::exception_ptr kept;
    std::thread([&] {
        try {
            throw std::domain_error("from a thread");
        } catch (...) {
            kept = std::current_exception();
        }
    }).join();
    try {
        std::rethrow_exception(kept);
    } catch (const std::domain_error& e) {
        std::cout << e.what() << ' ' << std::uncaught_exceptions() << '\n';
    }
}
