// Streams over strings: parsing, building, mixing.
#include <iostream>
#include <sstream>
#include <string>
#include <syncstream>

int main()
{
    std::istringstream in("12 3.5 word 0x1f true,rest of line\nnext");
    int n, h;
    double d;
    bool b;
    char comma;
    std::string word, line;
    in >> n >> d >> word >> std::hex >> h >> std::boolalpha >> b >> comma;
    std::getline(in, line);
    std::cout << n << ' ' << d << ' ' << word << ' ' << h << ' ' << b << comma << line << '\n';
    in >> word;
    std::cout << word << ' ' << in.eof() << '\n';
    std::istringstream bad("xyz");
    bad >> n;
    std::cout << n << ' ' << bad.fail() << '\n';
    std::ostringstream out;
    for (int i = 0; i < 5; i++)
        out << i << (i < 4 ? "," : "");
    std::cout << out.str() << ' ' << out.str().size() << '\n';
    std::stringstream both;
    both << "key=value;k2=v2";
    while (std::getline(both, word, ';'))
        std::cout << '[' << word << ']';
    std::osyncstream(std::cout) << '\n' << "in one piece\n";
    std::cout.put('!').write("abcdef", 3) << std::endl;
}
