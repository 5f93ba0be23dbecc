// The algorithms of the library, sorted and unsorted.
#include <algorithm>
#include <iostream>
#include <numeric>
#include <random>
#include <string>
#include <vector>

int main()
{
    std::mt19937 random(1);
    std::vector<int> v(5000);
    for (int& x : v)
        x = (int)(random() % 10000);
    auto sorted = v;
    std::sort(sorted.begin(), sorted.end());
    std::cout << std::is_sorted(sorted.begin(), sorted.end()) << ' ' << sorted[0] << ' ' << sorted[4999] << '\n';
    auto stable = v;
    std::stable_sort(stable.begin(), stable.end(), [](int a, int b) { return a / 100 < b / 100; });
    std::cout << stable[2500] << ' ' << std::accumulate(stable.begin(), stable.end(), 0L) << '\n';
    std::nth_element(v.begin(), v.begin() + 2500, v.end());
    std::cout << (v[2500] == sorted[2500]) << '\n';
    std::cout << *std::lower_bound(sorted.begin(), sorted.end(), 5000) << ' '
              << std::binary_search(sorted.begin(), sorted.end(), -1) << '\n';
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    std::cout << sorted.size() << '\n';
    std::string s = "algorithm";
    std::rotate(s.begin(), s.begin() + 4, s.end());
    std::cout << s << ' ';
    std::next_permutation(s.begin(), s.end());
    std::cout << s << ' ' << std::count_if(s.begin(), s.end(), [](char c) { return c > 'i'; }) << '\n';
    std::vector<int> a{1, 3, 5}, b{3, 4, 5}, c;
    std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(c));
    std::cout << c[0] << c[1] << ' ' << std::inner_product(a.begin(), a.end(), b.begin(), 0) << ' '
              << std::clamp(7, 1, 5) << ' ' << std::gcd(84, 36) << ' ' << std::midpoint(2, 9) << '\n';
}
