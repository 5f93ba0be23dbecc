// <filesystem> and <fstream> on the file system in memory; std::random_device.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <set>
#include <string>
#include <unistd.h>

namespace fs = std::filesystem;

int main()
{
    char folder[] = "/tmp/filesXXXXXX";
    if (!mkdtemp(folder))
        return 1;
    fs::current_path(folder);
    fs::create_directories("a/b/c");
    {
        std::ofstream out("a/b/x.txt");
        for (int i = 0; i < 10000; i++)
            out << "line " << i << "\n";
    }
    std::cout << fs::file_size("a/b/x.txt") << "\n";
    std::ifstream in("a/b/x.txt");
    int lines = 0;
    for (std::string line; std::getline(in, line);)
        lines++;
    std::cout << lines << "\n";
    fs::copy("a/b/x.txt", "a/y");
    fs::rename("a/y", "a/b/z");
    fs::create_symlink("b/z", "a/link");
    fs::create_directory_symlink("a/b", "d");
    std::cout << fs::read_symlink("a/link") << fs::file_size("a/link") << fs::file_size("d/x.txt") << "\n";
    fs::create_hard_link("a/b/z", "a/hard");
    std::cout << fs::hard_link_count("a/hard") << fs::equivalent("a/hard", "a/link") << "\n";
    std::set<std::string> names;
    for (auto& entry : fs::recursive_directory_iterator("."))
        names.insert(entry.path().string() + (entry.is_directory() ? "/" : ""));
    for (auto& name : names)
        std::cout << name << "\n";
    fs::resize_file("a/hard", 5);
    std::cout << fs::file_size("a/b/z") << fs::exists("a/b/z") << fs::exists("nope") << "\n";
    std::fstream both("a/b/z", std::ios::in | std::ios::out);
    both.seekp(3);
    both << "XYZ";
    both.seekg(0);
    std::string word;
    both >> word;
    std::cout << word << "\n";
    std::error_code error;
    fs::remove("a/b", error);
    std::cout << error << "\n";
    fs::remove("q/r", error);
    std::cout << error << " " << fs::is_empty("a/b/c") << "\n";
    fs::rename("a/b", "moved");
    std::cout << fs::exists("moved/c") << fs::exists("a/b") << "\n";
    fs::create_directories("many");
    for (int i = 0; i < 300; i++)
        std::ofstream("many/file-with-a-rather-long-name-" + std::to_string(i)) << i;
    int found = 0;
    for (auto& entry : fs::directory_iterator("many"))
        found += entry.file_size() > 0;
    std::cout << found << "\n";
    fs::current_path("/");
    std::cout << fs::remove_all(folder) << "\n";
    std::random_device device;
    auto a = device(), b = device(), c = device();
    std::cout << (a != b || b != c) << "\n";
    if (FILE* scratch = std::tmpfile()) {
        std::fputs("scratch", scratch);
        std::rewind(scratch);
        std::cout << (char)std::fgetc(scratch) << "\n";
    }
    int ends[2];
    if (pipe(ends) == 0 && write(ends[1], "pipe", 4) == 4) {
        char text[5] = "";
        std::cout << read(ends[0], text, 4) << text << "\n";
    }
    std::ofstream("/dev/null") << "gone";
    std::cout << (bool)std::ofstream("/no/such/place") << "\n";
}
