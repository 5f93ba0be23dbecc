// Bits, limits, endian order, conversions.
#include <bit>
#include <bitset>
#include <cstdint>
#include <iostream>
#include <limits>
#include <numbers>

int main()
{
    std::cout << std::popcount(0xf0f0u) << ' ' << std::countl_zero(uint16_t(1)) << ' ' << std::countr_one(7u) << ' ' << std::bit_ceil(100u) << ' '
              << std::bit_width(1000u) << ' ' << std::rotl(uint8_t(0x81), 1) + 0 << ' ' << std::has_single_bit(64u) << '\n';
    std::cout << std::bit_cast<uint64_t>(1.0) << ' ' << (std::endian::native == std::endian::little) << '\n';
    std::bitset<70> b("1011");
    b.set(69).flip(0);
    std::cout << b.count() << ' ' << (b >> 60).to_ulong() << ' ' << std::bitset<8>(0x5a) << '\n';
    std::cout << std::numeric_limits<int64_t>::max() << ' ' << std::numeric_limits<double>::digits << ' ' << std::numeric_limits<float>::epsilon() << '\n';
    std::cout << std::numbers::pi << ' ' << std::numbers::e << '\n';
    int64_t big = std::numeric_limits<int64_t>::max();
    int64_t r;
    std::cout << __builtin_add_overflow(big, 1, &r) << ' ' << (int32_t)(uint32_t)big << ' ' << (int)(signed char)200 << ' ' << -7 / 2 << -7 % 2 << ' ' << (-8 >> 1) << '\n';
    __int128 wide = (__int128)big * big;
    std::cout << (uint64_t)(wide >> 64) << ' ' << (uint64_t)wide << '\n';
}
