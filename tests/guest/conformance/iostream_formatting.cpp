// Numbers and text with manipulators.
#include <iomanip>
#include <iostream>

int main()
{
    std::cout << std::hex << std::showbase << 255 << ' ' << std::oct << 8 << std::dec << ' ' << 10 << '\n';
    std::cout << std::setw(8) << 42 << '|' << std::left << std::setw(8) << "ab" << '|' << std::right
              << std::setfill('*') << std::setw(6) << 7 << std::setfill(' ') << '\n';
    std::cout << std::fixed << std::setprecision(3) << 3.14159 << ' ' << std::scientific << 12345.678
              << ' ' << std::defaultfloat << 1e20 << ' ' << std::hexfloat << 1.5 << std::defaultfloat << '\n';
    std::cout << std::boolalpha << true << ' ' << false << std::noboolalpha << ' ' << true << '\n';
    std::cout << std::showpos << 5 << ' ' << -5 << std::noshowpos << ' ' << std::uppercase << 1e-9 << '\n';
    std::cout << std::quoted("say \"hi\"") << ' ' << std::internal << std::setw(8) << -42 << '\n';
    std::cout << std::setprecision(17) << 0.1 << ' ' << 1.0f / 3 << ' ' << 1e300 * 1e10 << '\n';
    std::cout << static_cast<const void*>(nullptr) << ' ' << 'c' << ' ' << (unsigned char)66 << ' ' << L'a' + 0 << '\n';
}
