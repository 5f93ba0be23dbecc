// Pseudo-random engines and distributions give the same everywhere; the device never does.
#include <iostream>
#include <random>

int main()
{
    std::mt19937 a(42);
    std::mt19937_64 b(42);
    std::minstd_rand c(42);
    std::ranlux24 d(42);
    std::cout << a() << ' ' << b() << ' ' << c() << ' ' << d() << '\n';
    a.discard(100000);
    std::cout << a() << '\n';
    std::uniform_int_distribution<int> die(1, 6);
    std::uniform_real_distribution<double> real(0, 1);
    std::bernoulli_distribution coin(0.3);
    int faces = 0, heads = 0;
    double sum = 0;
    for (int i = 0; i < 10000; i++)
        faces += die(a), heads += coin(a), sum += real(b);
    std::cout << faces << ' ' << heads << ' ' << sum << '\n';
    std::seed_seq seeds{1, 2, 3};
    std::mt19937 e(seeds);
    std::cout << e() << '\n';
    std::random_device device;
    std::cout << (device() != device() || device() != device()) << ' ' << (device.max() > 1000000) << '\n';
}
