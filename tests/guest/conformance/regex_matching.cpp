// Regular expressions: matches, searches, replacements, iterators.
#include <iostream>
#include <regex>
#include <string>

int main()
{
    const std::regex date(R"((\d{4})-(\d{2})-(\d{2}))");
    std::smatch m;
    std::string text = "from 2023-01-31 until 2024-12-24.";
    std::cout << std::regex_match("2023-01-31", date) << std::regex_match(text, date) << '\n';
    if (std::regex_search(text, m, date))
        std::cout << m[0] << ' ' << m[2] << ' ' << m.prefix() << '|' << m.suffix() << '\n';
    std::cout << std::regex_replace(text, date, "$3.$2.$1") << '\n';
    for (std::sregex_iterator i(text.begin(), text.end(), date), end; i != end; ++i)
        std::cout << i->str(1) << ' ';
    std::regex comma(",\\s*");
    std::string list = "a, b,c,   d";
    for (std::sregex_token_iterator i(list.begin(), list.end(), comma, -1), end; i != end; ++i)
        std::cout << '[' << *i << ']';
    std::cout << '\n' << std::regex_match("HeLLo", std::regex("hello", std::regex::icase)) << '\n';
    try {
        std::regex bad("(unclosed");
    } catch (const std::regex_error& e) {
        std::cout << (e.code() == std::regex_constants::error_paren) << '\n';
    }
}
