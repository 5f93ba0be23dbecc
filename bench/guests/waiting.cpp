#include <radics.hpp>

int main()
{
    while (radics::receive()) {
    }
}
