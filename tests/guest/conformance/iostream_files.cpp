// Files by streams: text, binary, positions, errors.
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

int main()
{
    {
        std::ofstream out("streams.tmp");
        for (int i = 0; i < 1000; i++)
            out << i << ' ' << i * 0.5 << '\n';
    }
    std::ifstream in("streams.tmp");
    double sum = 0, half;
    int n, lines = 0;
    while (in >> n >> half)
        sum += n + half, lines++;
    std::cout << lines << ' ' << sum << ' ' << in.eof() << in.fail() << in.bad() << '\n';
    in.clear();
    in.seekg(-10, std::ios::end);
    std::string rest{std::istreambuf_iterator<char>(in), {}};
    std::cout << rest;
    std::fstream both("streams.tmp", std::ios::in | std::ios::out | std::ios::binary | std::ios::trunc);
    std::vector<int> v(5000, 7), w(5000);
    both.write(reinterpret_cast<char*>(v.data()), 20000);
    both.seekg(0);
    both.read(reinterpret_cast<char*>(w.data()), 20000);
    std::cout << (v == w) << ' ' << both.gcount() << ' ' << both.tellg() << '\n';
    std::ofstream none("/no/such/directory/file");
    std::cout << none.is_open() << none.fail() << '\n';
    std::ifstream strict;
    strict.exceptions(std::ios::failbit);
    try {
        strict.open("streams.none");
    } catch (const std::ios_base::failure&) {
        std::cout << "failure\n";
    }
    std::remove("streams.tmp");
}
