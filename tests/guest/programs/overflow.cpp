// A stack that grows without end is SIGSEGV, not the end of anything else.
#include <iostream>

static int deeper(volatile int n)
{
    volatile char room[512] = {};
    return n < 0 ? room[0] : deeper(n + 1) + room[n % 512];
}

int main()
{
    std::cout << "down" << std::endl;
    return deeper(0);
}
