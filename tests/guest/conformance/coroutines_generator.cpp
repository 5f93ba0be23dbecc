// Coroutines: generators, and tasks that wait for each other.
#include <coroutine>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <utility>

struct Generator {
    struct promise_type {
        int value = 0;
        std::exception_ptr error;
        Generator get_return_object() { return Generator{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int v)
        {
            value = v;
            return {};
        }
        void return_void() {}
        void unhandled_exception() { error = std::current_exception(); }
    };
    std::coroutine_handle<promise_type> handle;
    explicit Generator(std::coroutine_handle<promise_type> h) : handle(h) {}
    Generator(Generator&& g) : handle(std::exchange(g.handle, {})) {}
    ~Generator()
    {
        if (handle)
            handle.destroy();
    }
    bool next()
    {
        handle.resume();
        if (handle.promise().error)
            std::rethrow_exception(handle.promise().error);
        return !handle.done();
    }
    int value() const { return handle.promise().value; }
};

struct Said {
    const char* text;
    ~Said() { std::cout << text << ' '; }
};

static Generator fibonacci(int limit)
{
    Said said{"destroyed"};
    for (int a = 0, b = 1; a < limit; b = std::exchange(a, b) + b)
        co_yield a;
}

static Generator failing()
{
    co_yield 1;
    throw std::runtime_error("inside a coroutine");
}

int main()
{
    for (auto g = fibonacci(100); g.next();)
        std::cout << g.value() << ' ';
    std::cout << '\n';
    {
        auto g = fibonacci(1000);
        g.next();
    }
    std::cout << "early\n";
    try {
        for (auto g = failing(); g.next();)
            std::cout << g.value() << '\n';
    } catch (const std::runtime_error& e) {
        std::cout << e.what() << '\n';
    }
}
