// Things that are called: function, bind, invoke, lambdas that keep state.
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

struct Shape {
    double side;
    double area(double scale) const { return side * side * scale; }
};

static int plain(int a, int b) { return a * 10 + b; }

int main()
{
    std::function<int(int, int)> f = plain;
    std::cout << f(1, 2) << ' ' << std::bind(f, std::placeholders::_2, 7)(0, 3) << ' ' << std::bind_front(plain, 9)(8) << '\n';
    std::cout << std::invoke(&Shape::area, Shape{3}, 2) << ' ' << std::invoke(&Shape::side, Shape{4}) << '\n';
    auto counter = [n = 0]() mutable { return ++n; };
    counter();
    auto copy = counter;
    std::cout << counter() << copy() << copy() << '\n';
    auto owner = [p = std::make_unique<int>(5)](auto x) { return *p + x; };
    std::cout << owner(1.5) << '\n';
    std::function<int(int)> factorial = [&](int n) { return n ? n * factorial(n - 1) : 1; };
    std::cout << factorial(10) << '\n';
    std::vector<std::function<std::string(std::string)>> steps{[](std::string s) { return s + "!"; }, [](std::string s) { return "<" + s + ">"; }};
    std::string s = "x";
    for (auto& step : steps)
        s = step(s);
    std::cout << s << ' ' << std::plus<>()(std::string("a"), "b") << ' ' << std::not_fn([](int n) { return n > 0; })(5) << '\n';
    std::function<void()> empty;
    try {
        empty();
    } catch (const std::bad_function_call& e) {
        std::cout << e.what() << '\n';
    }
}
