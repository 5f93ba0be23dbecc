// Virtual functions, several bases, casts, and types at run time.
#include <iostream>
#include <memory>
#include <typeindex>
#include <typeinfo>
#include <vector>

struct Top {
    int top = 1;
    virtual ~Top() { std::cout << "~Top "; }
    virtual const char* name() const { return "Top"; }
};
struct Left : virtual Top {
    int left = 2;
    ~Left() override { std::cout << "~Left "; }
    const char* name() const override { return "Left"; }
};
struct Right : virtual Top {
    int right = 3;
    ~Right() override { std::cout << "~Right "; }
    virtual int pure() const = 0;
};
struct Bottom final : Left, Right {
    ~Bottom() override { std::cout << "~Bottom "; }
    const char* name() const override { return "Bottom"; }
    int pure() const override { return top * 100 + left * 10 + right; }
};

int main()
{
    std::unique_ptr<Top> t = std::make_unique<Bottom>();
    auto* r = dynamic_cast<Right*>(t.get());
    std::cout << t->name() << ' ' << r->pure() << ' ' << (dynamic_cast<Left*>(r)->left) << '\n';
    Left plain;
    std::cout << (dynamic_cast<Right*>(static_cast<Top*>(&plain)) == nullptr) << ' ' << (typeid(*t) == typeid(Bottom)) << (std::type_index(typeid(*r)) == typeid(Left)) << '\n';
    try {
        (void)dynamic_cast<Bottom&>(static_cast<Top&>(plain));
    } catch (const std::bad_cast& e) {
        std::cout << e.what() << '\n';
    }
    int (Bottom::*member)() const = &Bottom::pure;
    std::cout << (dynamic_cast<Bottom&>(*t).*member)() << '\n';
    t.reset();
    std::cout << '\n';
}
