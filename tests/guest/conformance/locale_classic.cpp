// The classic locale and facets of one's own.
#include <iomanip>
#include <iostream>
#include <locale>
#include <sstream>

struct Dots : std::numpunct<char> {
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
    char do_decimal_point() const override { return ','; }
    std::string do_truename() const override { return "ja"; }
};

int main()
{
    std::cout << std::locale().name() << ' ' << std::locale::classic().name() << '\n';
    try {
        std::locale none("xx_YY.utf8");
        std::cout << none.name() << '\n';
    } catch (const std::runtime_error&) {
        std::cout << "no such locale\n";
    }
    std::ostringstream out;
    out.imbue(std::locale(std::locale::classic(), new Dots));
    out << 1234567 << ' ' << std::fixed << std::setprecision(2) << 9876.5 << ' ' << std::boolalpha << true;
    std::cout << out.str() << '\n';
    std::istringstream in("1.234,5");
    in.imbue(out.getloc());
    double d = 0;
    in >> d;
    std::cout << d << '\n';
    const auto& kind = std::use_facet<std::ctype<char>>(std::locale());
    std::cout << kind.toupper('q') << kind.is(std::ctype_base::digit, '7') << ' ' << std::isalpha('x', std::locale()) << '\n';
    std::tm t{};
    std::istringstream date("2024-03-15");
    date >> std::get_time(&t, "%Y-%m-%d");
    std::cout << std::put_time(&t, "%d.%m.%y") << ' ' << std::put_money(123456) << '\n';
}
