// Years, months and days.
#include <chrono>
#include <iostream>

using namespace std::chrono;
using namespace std::chrono_literals;

int main()
{
    constexpr year_month_day d = 2024y / February / 29;
    static_assert(d.ok());
    std::cout << sys_days(d).time_since_epoch().count() << ' ' << (2023y / February / 29).ok() << '\n';
    year_month_day next = sys_days(d) + days(366);
    std::cout << int(next.year()) << ' ' << unsigned(next.month()) << ' ' << unsigned(next.day()) << '\n';
    std::cout << weekday(sys_days(d)).c_encoding() << ' ' << year(2100).is_leap() << year(2000).is_leap() << '\n';
    year_month_day end = sys_days(2024y / November / last);
    std::cout << unsigned(end.day()) << '\n';
    year_month_day second_monday = sys_days(2024y / March / Monday[2]);
    std::cout << unsigned(second_monday.day()) << '\n';
    auto month_later = 2024y / January / 31 + months(1);
    std::cout << month_later.ok() << ' ' << (2024y / May / 5 < 2024y / May / 6) << '\n';
    std::cout << (sys_days(2024y / December / 25) - sys_days(2024y / January / 1)).count() << '\n';
}
