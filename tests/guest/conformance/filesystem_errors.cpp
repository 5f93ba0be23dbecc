// What file system calls say when they cannot.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <system_error>

namespace fs = std::filesystem;

template <class F> void try_it(const char* what, F f)
{
    try {
        f();
        std::cout << what << ": fine\n";
    } catch (const fs::filesystem_error& e) {
        std::cout << what << ": " << e.code().message() << ' ' << e.path1().filename() << '\n';
    }
}

int main()
{
    fs::path root = fs::temp_directory_path() / "filesystem_errors";
    fs::remove_all(root);
    fs::create_directory(root);
    std::ofstream(root / "file") << "x";
    fs::create_directory(root / "full");
    std::ofstream(root / "full/in") << "x";
    try_it("size", [&] { (void)fs::file_size(root / "none"); });
    try_it("size of directory", [&] { (void)fs::file_size(root / "full"); });
    try_it("remove", [&] { fs::remove(root / "full"); });
    try_it("copy", [&] { fs::copy_file(root / "none", root / "to"); });
    try_it("copy onto", [&] { fs::copy_file(root / "file", root / "full/in"); });
    try_it("iterate", [&] { fs::directory_iterator i(root / "file"); });
    try_it("create", [&] { fs::create_directory(root / "no/such"); });
    try_it("under a file", [&] { fs::create_directories(root / "file/x"); });
    try_it("canonical", [&] { (void)fs::canonical(root / "none"); });
    try_it("rename", [&] { fs::rename(root / "full", root / "file"); });
    fs::create_symlink("loop", root / "loop");
    try_it("loop", [&] { (void)fs::exists(root / "loop/x"); });
    std::error_code e;
    std::cout << fs::remove(root / "none", e) << ' ' << e.value() << '\n';
    fs::read_symlink(root / "file", e);
    std::cout << (e == std::errc::invalid_argument) << '\n';
    fs::remove_all(root);
}
