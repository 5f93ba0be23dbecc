// More than there is: bad_alloc, then life goes on. Growing, shrinking, giving back.
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <vector>

int main()
{
    std::vector<std::unique_ptr<char[]>> blocks;
    try {
        for (;;)
            blocks.push_back(std::make_unique<char[]>(100000));
    } catch (const std::bad_alloc&) {
        std::size_t n = blocks.size();
        blocks.clear();
        std::cout << "bad_alloc after more than 4 MB: " << (n > 40) << std::endl;
    }
    try {
        std::vector<int> huge(1ull << 40);
    } catch (const std::exception& e) {
        std::cout << e.what() << std::endl;
    }
    for (int round = 0; round < 20; round++) {
        std::vector<char> block(3000000, static_cast<char>(round));
        if (block.back() != round)
            return 1;
    }
    std::string grown;
    for (int i = 0; i < 300000; i++)
        grown += "0123456789"[i % 10];
    std::cout << grown.size() << std::endl;
}
