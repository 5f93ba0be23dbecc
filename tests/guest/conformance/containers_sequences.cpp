// vector, deque, list, forward_list, array.
#include <algorithm>
#include <array>
#include <deque>
#include <forward_list>
#include <iostream>
#include <list>
#include <numeric>
#include <string>
#include <vector>

template <class C> void show(const C& c)
{
    for (const auto& x : c)
        std::cout << x << ' ';
    std::cout << '\n';
}

int main()
{
    std::vector<std::string> v{"b", "a"};
    v.insert(v.begin() + 1, 2, "m");
    v.emplace_back("z");
    v.erase(v.begin());
    show(v);
    std::vector<int> large(100000);
    std::iota(large.begin(), large.end(), 0);
    std::erase_if(large, [](int n) { return n % 3; });
    std::cout << large.size() << ' ' << large.back() << '\n';
    std::deque<int> d;
    for (int i = 0; i < 1000; i++)
        i % 2 ? d.push_back(i) : d.push_front(i);
    std::cout << d.front() << ' ' << d.back() << ' ' << d[500] << '\n';
    std::list<int> a{3, 1, 2}, b{9, 8};
    a.sort();
    a.splice(std::next(a.begin()), b);
    a.reverse();
    show(a);
    std::forward_list<int> f{1, 2, 2, 3};
    f.unique();
    f.push_front(0);
    show(f);
    std::array<int, 4> r{4, 3, 2, 1};
    std::sort(r.begin(), r.end());
    show(r);
    std::vector<bool> bits(70);
    bits[69] = true;
    bits.flip();
    std::cout << std::count(bits.begin(), bits.end(), true) << '\n';
}
