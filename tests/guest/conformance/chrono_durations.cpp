// Durations, clocks, points in time.
#include <chrono>
#include <iostream>
#include <thread>

using namespace std::chrono_literals;
namespace chrono = std::chrono;

int main()
{
    auto t = 1h + 23min + 45s + 678ms;
    std::cout << t.count() << ' ' << chrono::duration_cast<chrono::minutes>(t).count() << ' '
              << chrono::round<chrono::hours>(t).count() << ' ' << (t % 1h).count() << '\n';
    chrono::hh_mm_ss clock(t);
    std::cout << clock.hours().count() << ':' << clock.minutes().count() << ':' << clock.seconds().count() << '.' << clock.subseconds().count() << '\n';
    std::cout << (90s == 1.5min) << (1ms < 1s) << ' ' << chrono::duration<double>(1500ms).count() << '\n';
    auto before = chrono::steady_clock::now();
    std::this_thread::sleep_for(15ms);
    auto after = chrono::steady_clock::now();
    std::cout << (after - before >= 15ms) << chrono::steady_clock::is_steady << '\n';
    std::this_thread::sleep_until(chrono::system_clock::now() + 5ms);
    auto wall = chrono::system_clock::now();
    std::cout << (wall > chrono::sys_days{chrono::year{2023} / 11 / 1}) << ' ' << (chrono::system_clock::to_time_t(wall) > 1700000000) << '\n';
    std::cout << chrono::floor<chrono::days>(chrono::sys_seconds{1234567890s}).time_since_epoch().count() << '\n';
}
