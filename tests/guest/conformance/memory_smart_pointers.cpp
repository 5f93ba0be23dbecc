// unique_ptr, shared_ptr, weak_ptr: who frees, and when.
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

struct Node : std::enable_shared_from_this<Node> {
    static int alive;
    std::vector<std::shared_ptr<Node>> children;
    std::weak_ptr<Node> parent;
    Node() { alive++; }
    ~Node() { alive--; }
    std::shared_ptr<Node> add()
    {
        auto n = std::make_shared<Node>();
        n->parent = weak_from_this();
        children.push_back(n);
        return n;
    }
};
int Node::alive = 0;

int main()
{
    std::weak_ptr<Node> kept;
    {
        auto root = std::make_shared<Node>();
        for (int i = 0; i < 10; i++)
            root->add()->add();
        kept = root->children[3]->children[0];
        std::cout << Node::alive << ' ' << root.use_count() << ' ' << (kept.lock()->parent.lock() == root->children[3]) << '\n';
    }
    std::cout << Node::alive << ' ' << kept.expired() << '\n';
    auto deleter = [](int* p) {
        std::cout << "delete " << *p << '\n';
        delete p;
    };
    {
        std::unique_ptr<int, decltype(deleter)> u(new int(5), deleter);
        std::shared_ptr<int> s(new int(6), deleter);
        auto t = s;
    }
    auto array = std::make_unique<std::string[]>(100);
    array[99] = "last";
    std::cout << array[99] << '\n';
    auto shared = std::make_shared<int>(0);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([shared] {
            for (int k = 0; k < 10000; k++)
                auto copy = shared;
        });
    for (auto& t : threads)
        t.join();
    threads.clear();
    std::cout << shared.use_count() << '\n';
}
