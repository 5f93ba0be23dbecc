// Prints a line a tick; time must neither go back nor jump over a move, and a sleep that is
// interrupted by one takes no less than was asked.
#include <chrono>
#include <iostream>
#include <random>
#include <thread>

#include <radics.hpp>

int main(int argc, char** argv)
{
    using clock = std::chrono::steady_clock;
    using namespace std::chrono_literals;
    const int ticks = argc > 1 ? std::stoi(argv[1]) : 20;
    bool good = true;
    for (int i = 0; i < ticks; i++) {
        auto before = clock::now();
        std::this_thread::sleep_for(20ms);
        auto slept = clock::now() - before;
        good &= slept >= 20ms && slept < 20s;
        std::cout << "tick " << i << "\n";
    }
    auto wall = std::chrono::system_clock::now().time_since_epoch() / 1s;
    std::cout << "good " << good << std::endl;
    std::cerr << wall << " " << radics::host() << " " << radics::epoch() << " " << std::random_device{}() << "\n";
}
