// An exception out of a noexcept function.
#include <iostream>

static void promise() noexcept { throw 1; }

int main()
{
    std::cout << "promising" << std::endl;
    try {
        promise();
    } catch (...) {
        std::cout << "not reached" << std::endl;
    }
}
