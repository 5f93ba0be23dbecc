// Trees of files: made, walked, copied, moved, removed.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace fs = std::filesystem;

static void list(const fs::path& root)
{
    std::vector<std::string> found;
    for (const auto& e : fs::recursive_directory_iterator(root))
        found.push_back(e.path().lexically_relative(root).string() + (e.is_directory() ? "/" : " " + std::to_string(e.file_size())));
    std::sort(found.begin(), found.end());
    for (const auto& f : found)
        std::cout << f << ", ";
    std::cout << found.size() << '\n';
}

int main()
{
    fs::path root = fs::temp_directory_path() / "filesystem_tree";
    fs::remove_all(root);
    std::cout << fs::create_directories(root / "a/b/c") << fs::create_directory(root / "a") << '\n';
    for (int i = 0; i < 5; i++)
        std::ofstream(root / "a/b" / ("file" + std::to_string(i))) << std::string((size_t)i * 1000, 'x');
    list(root);
    fs::copy(root / "a", root / "copy", fs::copy_options::recursive);
    list(root / "copy");
    std::cout << fs::copy_file(root / "a/b/file4", root / "big") << fs::file_size(root / "big") << '\n';
    std::cout << fs::copy_file(root / "a/b/file1", root / "big", fs::copy_options::skip_existing) << '\n';
    fs::copy_file(root / "a/b/file1", root / "big", fs::copy_options::overwrite_existing);
    std::cout << fs::file_size(root / "big") << '\n';
    fs::rename(root / "copy", root / "moved");
    fs::resize_file(root / "moved/b/file2", 7);
    std::cout << fs::file_size(root / "moved/b/file2") << ' ' << fs::exists(root / "copy") << '\n';
    int seen = 0;
    for (auto i = fs::recursive_directory_iterator(root); i != fs::recursive_directory_iterator(); ++i) {
        if (i->path().filename() == "b")
            i.disable_recursion_pending();
        seen = std::max(seen, i.depth());
    }
    std::cout << seen << ' ' << fs::is_empty(root / "moved/b/c") << '\n';
    std::cout << fs::remove_all(root) << ' ' << fs::exists(root) << '\n';
}
