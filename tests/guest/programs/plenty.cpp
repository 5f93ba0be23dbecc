// Much output, regular expressions, the C locale, an exit status above 127.
#include <clocale>
#include <iostream>
#include <locale>
#include <regex>
#include <sstream>
#include <string>

int main()
{
    std::regex address("(\\w+)@(\\w+)\\.org");
    std::smatch match;
    std::string text = "write to ada@example.org today";
    std::cout << std::regex_search(text, match, address) << match[1] << match[2] << "\n";
    std::cout << std::setlocale(LC_ALL, "C") << std::locale().name() << "\n";
    std::ostringstream number;
    number.imbue(std::locale::classic());
    number << std::hex << 255 << std::fixed << 1234567.891;
    std::cout << number.str() << "\n";
    for (int i = 0; i < 20000; i++)
        std::cout << "line " << i << "\n";
    std::exit(200);
}
