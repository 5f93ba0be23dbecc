// iostream, containers, exceptions, floating point, exit status.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

int main()
{
    std::map<std::string, int> words{{"unikernel", 1}, {"park", 2}, {"move", 3}};
    for (auto& [word, n] : words)
        std::cout << word << "=" << n << "\n";
    std::vector<double> waves;
    for (int i = 0; i < 20; i++)
        waves.push_back(std::sin(i) * std::exp(i));
    std::sort(waves.begin(), waves.end());
    for (double w : waves)
        std::cout << std::setprecision(17) << w << " ";
    std::cout << std::endl;
    std::printf("%g %a %.3Lf %05d %s\n", 1e-5, 1.5, 2.5L, 42, "text");
    try {
        throw std::runtime_error("thrown");
    } catch (const std::exception& e) {
        std::cout << "caught " << e.what() << "\n";
    }
    std::cerr << "to stderr\n";
    return 3;
}
