// entry_iostream.cpp: as entry.c, with what iostream does before main.
#include <iostream>
#include <time.h>
#include <unistd.h>

int main()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    std::cout << static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6
              << std::endl;
    for (;;)
        pause();
}
