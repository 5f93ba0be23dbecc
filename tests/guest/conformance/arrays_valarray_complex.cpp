// Arithmetic on whole arrays, complex numbers, special functions.
#include <cmath>
#include <complex>
#include <iomanip>
#include <iostream>
#include <span>
#include <valarray>
#include <vector>

static double sum(std::span<const double> s)
{
    double total = 0;
    for (double d : s.subspan(1))
        total += d;
    return total;
}

int main()
{
    std::cout << std::setprecision(10);
    std::valarray<double> a{1, 2, 3, 4, 5, 6}, b = std::sqrt(a) * 2.0;
    a[std::slice(0, 3, 2)] = 0;
    std::cout << a.sum() << ' ' << b.max() << ' ' << (a * b).sum() << ' ' << a.cshift(1)[0] << '\n';
    std::complex<double> z(3, 4);
    std::cout << z * z << ' ' << std::abs(z) << ' ' << std::norm(z) << ' ' << std::conj(z) / z << ' ' << std::polar(2.0, 0.5) << '\n';
    std::vector<double> v{1, 2, 3.5};
    double raw[] = {5, 6};
    std::cout << sum(v) << ' ' << sum(raw) << '\n';
    std::cout << std::beta(2, 3) << ' ' << std::riemann_zeta(2) << ' ' << std::legendre(3, 0.5) << ' ' << std::cyl_bessel_j(0, 1.5) << ' ' << std::lerp(1.0, 3.0, 0.25) << '\n';
    // The discrete Fourier transform of a pulse, and back.
    const size_t n = 32;
    std::vector<std::complex<double>> x(n), y(n);
    x[3] = 1;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < n; i++)
            y[k] += x[i] * std::polar(1.0, -2 * M_PI * (double)(i * k) / n);
    std::complex<double> back = 0;
    for (size_t k = 0; k < n; k++)
        back += y[k] * std::polar(1.0, 2 * M_PI * 3 * (double)k / n);
    std::cout << std::round(back.real() * 1e9) / 1e9 / n << '\n';
}
