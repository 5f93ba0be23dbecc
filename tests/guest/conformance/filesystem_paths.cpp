// Paths, taken apart and put together, without looking at files.
#include <filesystem>
#include <iostream>

namespace fs = std::filesystem;

int main()
{
    for (fs::path p : {"/usr/lib/libc.so.6", "relative/dir/", "file", "/", "..", "/a/./b/../c", ".hidden", ""}) {
        std::cout << p << ' ' << p.parent_path() << ' ' << p.filename() << ' ' << p.stem() << ' '
                  << p.extension() << ' ' << p.is_absolute() << ' ' << p.lexically_normal() << '\n';
    }
    fs::path p = "/base";
    p /= "sub";
    p += ".txt";
    std::cout << p << ' ' << p.replace_extension(".md") << ' ' << (p / "/absolute") << '\n';
    for (const auto& part : fs::path("/one/two//three"))
        std::cout << part << ' ';
    std::cout << '\n' << fs::path("/a/b/c").lexically_relative("/a/d") << ' ' << (fs::path("/a/b") < "/a/c") << '\n';
}
