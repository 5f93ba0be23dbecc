// The comparison that gives all others.
#include <compare>
#include <iostream>
#include <set>
#include <string>
#include <vector>

struct Version {
    int major, minor;
    std::string label;
    auto operator<=>(const Version&) const = default;
};

struct Loose {
    double d;
    std::partial_ordering operator<=>(const Loose& o) const { return d <=> o.d; }
    bool operator==(const Loose& o) const { return d == o.d; }
};

int main()
{
    Version a{1, 2, "b"}, b{1, 10, "a"};
    std::cout << (a < b) << (a == b) << (a >= b) << ' ' << ((a <=> b) < 0) << '\n';
    std::set<Version> s{b, a, a};
    std::cout << s.size() << s.begin()->minor << '\n';
    Loose nan{0.0 / 0.0}, one{1};
    std::cout << (nan < one) << (nan > one) << (nan == nan) << ((nan <=> one) == std::partial_ordering::unordered) << '\n';
    std::vector<int> v{1, 2, 3}, w{1, 3};
    std::cout << (v < w) << ((v <=> w) == std::strong_ordering::less) << ' ' << std::is_lt(std::compare_three_way()(1, 2)) << '\n';
}
