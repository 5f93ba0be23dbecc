// Exceptions of every type, caught by value, reference, base, or everything.
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

struct Base {
    virtual ~Base() = default;
    virtual std::string name() const { return "base"; }
};
struct Derived : Base {
    std::string name() const override { return "derived"; }
};

static void thrower(int kind)
{
    switch (kind) {
    case 0: throw 42;
    case 1: throw std::string("text");
    case 2: throw Derived();
    case 3: throw std::out_of_range("far");
    case 4: std::vector<int>().at(3); break;
    case 5: throw "literal";
    case 6: throw nullptr;
    default: throw 3.5;
    }
}

int main()
{
    for (int kind = 0; kind < 8; kind++) {
        try {
            thrower(kind);
        } catch (int n) {
            std::cout << "int " << n << '\n';
        } catch (const std::string& s) {
            std::cout << "string " << s << '\n';
        } catch (const Base& b) {
            std::cout << "base " << b.name() << '\n';
        } catch (const std::logic_error& e) {
            std::cout << "logic " << e.what() << '\n';
        } catch (const char* s) {
            std::cout << "pointer " << (s ? s : "null") << '\n';
        } catch (...) {
            std::cout << "something\n";
        }
    }
}
