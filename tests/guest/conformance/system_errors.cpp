// Error codes, their categories and conditions.
#include <cerrno>
#include <future>
#include <ios>
#include <iostream>
#include <system_error>

int main()
{
    std::error_code e(ENOENT, std::generic_category());
    std::cout << e.value() << ' ' << e.message() << ' ' << e.category().name() << ' ' << (e == std::errc::no_such_file_or_directory) << '\n';
    std::error_code s(EAGAIN, std::system_category());
    std::cout << s.message() << ' ' << s.default_error_condition().category().name() << ' ' << !!s << !std::error_code() << '\n';
    try {
        throw std::system_error(EPERM, std::generic_category(), "trying");
    } catch (const std::system_error& error) {
        std::cout << error.what() << ' ' << error.code() << '\n';
    }
    std::cout << std::make_error_code(std::io_errc::stream).category().name() << ' ' << std::future_category().name() << '\n';
    std::cout << std::make_error_condition(std::errc::timed_out).message() << '\n';
}
