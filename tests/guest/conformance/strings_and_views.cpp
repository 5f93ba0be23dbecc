// std::string and string_view: the short, the long, searches, numbers.
#include <iostream>
#include <string>
#include <string_view>

int main()
{
    std::string s = "short", t(1000, 'x');
    s += ", then " + std::string(30, '.') + " long";
    std::cout << s << ' ' << s.size() << ' ' << t.substr(990).size() << '\n';
    s.replace(0, 5, "SHORT").insert(5, "!").erase(8, 10);
    std::cout << s << ' ' << s.find("long") << ' ' << (s.find("none") == s.npos) << '\n';
    std::string_view v = s;
    v.remove_prefix(3);
    std::cout << v.substr(0, 4) << ' ' << v.starts_with("RT") << v.ends_with("ong") << ' ' << v.find_last_of('.') << '\n';
    std::cout << std::stoi("42") + std::stol("-8") << ' ' << std::stod("2.5e1") << ' ' << std::to_string(3.25) << ' ' << std::stoi("ff", nullptr, 16) << '\n';
    for (const char* text : {"x", "99999999999999999999"}) {
        try {
            std::stoi(text);
        } catch (const std::invalid_argument& e) {
            std::cout << "invalid " << e.what() << '\n';
        } catch (const std::out_of_range& e) {
            std::cout << "range " << e.what() << '\n';
        }
    }
    std::cout << (std::string("abc") < "abd") << (std::string("b") <=> std::string("a") > 0) << ' ' << std::string("a\0b", 3).size() << '\n';
}
