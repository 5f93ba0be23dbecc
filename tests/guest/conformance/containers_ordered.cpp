// map, set and their multiple kin; heaps.
#include <iostream>
#include <map>
#include <queue>
#include <set>
#include <stack>
#include <string>

int main()
{
    std::map<std::string, int> m{{"one", 1}, {"two", 2}, {"three", 3}};
    m["four"] = 4;
    m.try_emplace("one", 100);
    m.insert_or_assign("two", 22);
    auto node = m.extract("three");
    node.key() = "drei";
    m.insert(std::move(node));
    for (const auto& [key, value] : m)
        std::cout << key << '=' << value << ' ';
    std::cout << '\n' << m.contains("three") << ' ' << m.lower_bound("g")->first << '\n';
    std::multiset<int> s;
    for (int i = 0; i < 1000; i++)
        s.insert(i * 7919 % 101);
    std::cout << s.size() << ' ' << s.count(50) << ' ' << *s.begin() << ' ' << *s.rbegin() << '\n';
    std::set<int, std::greater<>> g{1, 5, 3};
    std::cout << *g.begin() << ' ' << *g.upper_bound(3) << '\n';
    std::priority_queue<int> q;
    for (int n : {3, 9, 1, 7})
        q.push(n);
    for (; !q.empty(); q.pop())
        std::cout << q.top() << ' ';
    std::stack<int> st({1, 2, 3});
    std::cout << st.top() << '\n';
}
