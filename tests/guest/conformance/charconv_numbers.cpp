// Numbers to characters and back, exactly.
#include <charconv>
#include <iostream>
#include <string_view>
#include <system_error>

int main()
{
    char buf[64];
    for (double d : {0.1, 1e22, 123456.789, 5e-324, 1.0, 1.7976931348623157e308}) {
        auto [end, error] = std::to_chars(buf, buf + sizeof buf, d);
        std::string_view text(buf, (size_t)(end - buf));
        double back = 0;
        std::from_chars(buf, end, back);
        std::cout << text << ' ' << (back == d) << ' ';
    }
    std::cout << '\n';
    auto fixed = std::to_chars(buf, buf + 64, 2.0 / 3, std::chars_format::fixed, 10).ptr;
    std::cout << std::string_view(buf, (size_t)(fixed - buf)) << '\n';
    for (int base : {2, 8, 16, 36}) {
        auto end = std::to_chars(buf, buf + 64, -123456, base).ptr;
        std::cout << std::string_view(buf, (size_t)(end - buf)) << ' ';
    }
    std::cout << '\n';
    std::string_view bad = "x1", big = "99999999999";
    int n = 5;
    std::cout << (std::from_chars(bad.begin(), bad.end(), n).ec == std::errc::invalid_argument) << n
              << (std::from_chars(big.begin(), big.end(), n).ec == std::errc::result_out_of_range) << n << '\n';
    std::cout << (std::to_chars(buf, buf + 2, 12345).ec == std::errc::value_too_large) << '\n';
}
