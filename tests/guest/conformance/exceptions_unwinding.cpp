// What is destroyed on the way out, and in what order.
#include <iostream>
#include <memory>

struct Noisy {
    int n;
    explicit Noisy(int i) : n(i)
    {
        if (i == 3)
            throw i;
        std::cout << "+" << n << ' ';
    }
    ~Noisy() { std::cout << "-" << n << ' '; }
};

struct Whole {
    Noisy a{1}, b{2}, c{3};
};

static void deep(int n)
{
    Noisy here(10 + n);
    if (n == 5)
        throw std::make_unique<int>(n);
    deep(n + 1);
}

int main()
{
    try {
        Whole w;
    } catch (int n) {
        std::cout << "caught " << n << '\n';
    }
    try {
        deep(0);
    } catch (const std::unique_ptr<int>& p) {
        std::cout << "caught " << *p << '\n';
    }
    try {
        Noisy array[2] = {Noisy(7), Noisy(3)};
    } catch (int) {
        std::cout << "array\n";
    }
    try {
        try {
            throw 1;
        } catch (int) {
            Noisy n(8);
            throw;
        }
    } catch (int n) {
        std::cout << "again " << n << '\n';
    }
}
