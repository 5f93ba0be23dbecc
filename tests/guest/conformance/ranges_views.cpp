// Ranges: views that are put together.
#include <algorithm>
#include <iostream>
#include <ranges>
#include <string>
#include <vector>

namespace views = std::views;

int main()
{
    auto squares = views::iota(1) | views::transform([](int n) { return n * n; }) |
                   views::filter([](int n) { return n % 2; }) | views::take(6);
    for (int n : squares)
        std::cout << n << ' ';
    std::cout << '\n';
    std::string text = "split these words";
    for (auto word : text | views::split(' ')) {
        for (char c : word)
            std::cout << c;
        std::cout << '/';
    }
    std::vector<std::pair<std::string, int>> people{{"ann", 30}, {"bob", 20}, {"cy", 25}};
    std::ranges::sort(people, {}, &std::pair<std::string, int>::second);
    for (const auto& name : people | views::keys | views::reverse)
        std::cout << name << ' ';
    std::cout << '\n' << std::ranges::max(people | views::values) << ' '
              << std::ranges::count_if(people, [](const auto& p) { return p.second > 22; }) << '\n';
    std::vector<int> v{5, 1, 4};
    auto [low, high] = std::ranges::minmax(v);
    std::cout << low << high << ' ' << *std::ranges::find(v, 4) << '\n';
    for (int n : v | views::drop_while([](int x) { return x > 3; }) | views::common)
        std::cout << n;
    std::cout << '\n';
}
