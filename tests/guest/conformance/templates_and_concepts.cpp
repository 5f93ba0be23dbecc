// What the compiler works out: concepts, packs, constant evaluation.
#include <algorithm>
#include <array>
#include <concepts>
#include <iostream>
#include <string>
#include <type_traits>
#include <vector>

template <class T>
concept Number = std::integral<T> || std::floating_point<T>;

static std::string kind(Number auto) { return "number"; }
template <class T> requires(!Number<T>)
static std::string kind(const T&) { return "something"; }
template <class T> requires requires(T t) { t.size(); }
static std::string sized(const T& t) { return std::to_string(t.size()); }
static std::string sized(...) { return "no size"; }

template <class... T> static auto total(T... t) { return (t + ... + 0); }

constexpr auto sieve()
{
    std::array<bool, 100> prime{};
    for (size_t i = 2; i < 100; i++)
        prime[i] = true;
    for (size_t i = 2; i < 10; i++)
        for (size_t k = i * i; prime[i] && k < 100; k += i)
            prime[k] = false;
    return prime;
}
constexpr auto primes = sieve();
static_assert(primes[97] && !primes[91]);
consteval int square(int n) { return n * n; }

template <size_t N> struct Text {
    char c[N];
    constexpr Text(const char (&t)[N]) { std::copy_n(t, N, c); }
};
template <Text T> static void say() { std::cout << T.c << ' '; }

int main()
{
    std::cout << kind(5) << ' ' << kind(2.5) << ' ' << kind("x") << ' ' << sized(std::vector<int>(3)) << ' ' << sized(5) << '\n';
    std::cout << total(1, 2.5, 'a') << ' ' << total() << ' ' << square(12) << '\n';
    int count = 0;
    for (bool p : primes)
        count += p;
    std::cout << count << ' ';
    say<"constant">();
    std::cout << std::is_same_v<std::common_type_t<int, double>, double> << [] <class T>(T t) { return sizeof t; }(1L) << '\n';
    if constexpr (sizeof(void*) == 8)
        std::cout << "64 bits\n";
}
