// Atomics that are waited for, and shared pointers that are atomic.
#include <atomic>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

struct Config {
    int version;
    std::vector<int> values;
};

int main()
{
    std::atomic<int> turn = 0;
    std::vector<int> order;
    std::thread other([&] {
        for (int i = 0; i < 50; i++) {
            for (int t; (t = turn) % 2 == 0;)
                turn.wait(t);
            order.push_back(turn);
            turn++;
            turn.notify_one();
        }
    });
    for (int i = 0; i < 50; i++) {
        order.push_back(turn);
        turn++;
        turn.notify_one();
        for (int t; (t = turn) % 2 == 1;)
            turn.wait(t);
    }
    other.join();
    bool right = order.size() == 100;
    for (size_t i = 0; i < order.size(); i++)
        right &= order[i] == (int)i;
    std::cout << right << '\n';
    std::atomic_flag flag;
    std::thread setter([&] {
        flag.test_and_set();
        flag.notify_all();
    });
    flag.wait(false);
    setter.join();
    std::cout << flag.test() << '\n';
    std::atomic<std::shared_ptr<Config>> config = std::make_shared<Config>(Config{1, {1}});
    std::atomic<bool> torn = false, end = false;
    std::thread reader([&] {
        while (!end) {
            auto c = config.load();
            torn = torn || c->version != (int)c->values.size();
        }
    });
    for (int i = 2; i < 200; i++)
        config = std::make_shared<Config>(Config{i, std::vector<int>((size_t)i)});
    end = true;
    reader.join();
    std::cout << torn << ' ' << config.load()->version << '\n';
    std::atomic<double> d = 0.5;
    d += 1.25;
    int plain = 3;
    std::atomic_ref(plain).fetch_add(4);
    std::cout << d << ' ' << plain << '\n';
}
