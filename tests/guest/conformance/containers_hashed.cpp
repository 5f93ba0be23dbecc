// unordered_map and unordered_set, with hashes of one's own.
#include <iostream>
#include <string>
#include <unordered_map>
#include <unordered_set>

struct Point {
    int x, y;
    bool operator==(const Point&) const = default;
};
template <> struct std::hash<Point> {
    size_t operator()(const Point& p) const { return (size_t)p.x * 31 + (size_t)p.y; }
};

int main()
{
    std::unordered_map<std::string, int> m;
    for (int i = 0; i < 20000; i++)
        m["key" + std::to_string(i % 5000)] += i;
    long sum = 0;
    for (const auto& [k, v] : m)
        sum += v;
    std::cout << m.size() << ' ' << sum << ' ' << m["key17"] << '\n';
    std::unordered_set<Point> points;
    for (int i = 0; i < 100; i++)
        points.insert({i % 10, i % 7});
    std::cout << points.size() << ' ' << points.contains({3, 3}) << points.contains({99, 0}) << '\n';
    m.reserve(100000);
    std::erase_if(m, [](const auto& e) { return e.second % 2; });
    std::cout << m.size() << ' ' << (m.load_factor() < 1) << '\n';
    std::unordered_multimap<int, int> mm{{1, 2}, {1, 3}, {2, 4}};
    std::cout << mm.count(1) << '\n';
}
