// What is known of files, and changed: permissions, times, links, space.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>

namespace fs = std::filesystem;
using namespace std::chrono_literals;

static std::string bits(fs::perms p)
{
    std::string s;
    for (int i = 8; i >= 0; i--)
        s += (unsigned)p >> i & 1 ? "rwx"[(8 - i) % 3] : '-';
    return s;
}

int main()
{
    fs::path root = fs::temp_directory_path() / "filesystem_status", file = root / "file";
    fs::remove_all(root);
    fs::create_directory(root);
    std::ofstream(file) << "content";
    std::cout << bits(fs::status(file).permissions()) << ' ' << fs::is_regular_file(file) << '\n';
    fs::permissions(file, fs::perms::owner_all);
    fs::permissions(file, fs::perms::group_read, fs::perm_options::add);
    fs::permissions(file, fs::perms::owner_exec, fs::perm_options::remove);
    std::cout << bits(fs::status(file).permissions()) << '\n';
    auto before = fs::last_write_time(file);
    fs::last_write_time(file, before - 24h);
    std::cout << (before - fs::last_write_time(file) == 24h) << '\n';
    fs::create_symlink("file", root / "soft");
    fs::create_hard_link(file, root / "hard");
    fs::create_directory_symlink(root, root / "self");
    std::cout << fs::read_symlink(root / "soft") << ' ' << fs::hard_link_count(file) << ' ' << fs::is_symlink(root / "soft")
              << fs::equivalent(root / "soft", root / "hard") << fs::is_directory(root / "self/self/self") << '\n';
    std::cout << fs::canonical(root / "self/./soft").filename() << ' ' << fs::weakly_canonical(root / "self/none/x").lexically_relative(fs::canonical(root)) << '\n';
    auto space = fs::space(root);
    std::cout << (space.capacity > 0) << (space.available <= space.capacity) << '\n';
    auto here = fs::current_path();
    fs::current_path(root);
    std::cout << fs::exists("soft") << fs::exists("none") << ' ' << (fs::absolute("file") == fs::current_path() / "file") << '\n';
    fs::current_path(here);
    std::cout << fs::is_character_file("/dev/null") << fs::is_other("/dev/null") << fs::is_socket(file) << '\n';
    std::cout << fs::remove_all(root) << '\n';
}
