// optional, variant, any, tuple, expected results of visiting them.
#include <any>
#include <iostream>
#include <optional>
#include <string>
#include <tuple>
#include <variant>

template <class... F> struct overloaded : F... {
    using F::operator()...;
};

static std::optional<int> half(int n) { return n % 2 ? std::nullopt : std::optional(n / 2); }

int main()
{
    std::cout << half(8).value() << ' ' << half(7).value_or(-1) << ' ' << half(7).has_value() << '\n';
    try {
        half(1).value();
    } catch (const std::bad_optional_access& e) {
        std::cout << e.what() << '\n';
    }
    std::variant<int, double, std::string> v = 5;
    for (int i = 0; i < 3; i++) {
        std::visit(overloaded{[](int n) { std::cout << "int " << n << ' '; }, [](double d) { std::cout << "double " << d << ' '; },
                              [](const std::string& s) { std::cout << "string " << s << ' '; }},
                   v);
        v = i ? decltype(v)(std::string("text")) : decltype(v)(2.5);
    }
    std::cout << v.index() << std::holds_alternative<std::string>(v) << '\n';
    try {
        (void)std::get<int>(v);
    } catch (const std::bad_variant_access& e) {
        std::cout << "bad variant\n";
    }
    std::any a = std::string("anything");
    std::cout << std::any_cast<std::string>(a) << ' ' << (std::any_cast<int>(&a) == nullptr) << '\n';
    auto [x, y, z] = std::tuple_cat(std::make_tuple(1, 'c'), std::tie("s"));
    std::cout << x << y << z << ' ' << std::apply([](auto... n) { return (n + ...); }, std::tuple(1, 2, 3)) << '\n';
}
