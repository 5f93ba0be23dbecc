// The C++ side of version 1.1: an event loop over everything, and the rest in one go.
#include <iostream>
#include <thread>

#include <radics.hpp>

using namespace std::chrono_literals;

static void everything()
{
    radics::kv::put("one", "1");
    radics::kv::put("two", std::string(5000, '2'));
    std::cout << radics::kv::list().size() << radics::kv::get("two")->size()
              << radics::kv::erase("one") << radics::kv::erase("one")
              << radics::kv::get("one").has_value() << std::endl;
    radics::stay();
    radics::move_to("attic");
    radics::move_near("text");
    radics::move_free();
    std::cout << (radics::checkpoint() == radics::Checkpoint::saved) << radics::branch() << " "
              << radics::memory() << std::endl;
    std::cout << radics::request("dtn://far/x", "ping", 60s)->payload << " "
              << radics::request("dtn://far/y", "ping", 10ms).has_value() << std::endl;
    auto late = radics::subscribe("late", 41);
    std::cout << late.next()->number << std::endl;
    late.close();
    auto mesh = radics::mesh(60s);
    for (auto& node : mesh->nodes)
        std::cout << node.name << " " << node.load << " " << node.latency_s << " " << node.here << std::endl;
    for (auto& source : mesh->sources)
        std::cout << source.name << " of " << source.publisher << std::endl;
}

int main()
{
    everything();
    int beats = 0;
    radics::serve("double", [](const radics::Message& m) { return m.payload + m.payload; });
    radics::loop().on("text", [](const radics::Message& m) { std::cout << "text " << m.payload << std::endl; });
    auto beat = radics::every(10ms, [&] {
        if (++beats == 3)
            std::cout << "three beats" << std::endl;
    });
    radics::loop().request("dtn://far/z", "ask", [](const std::optional<radics::Message>& reply) {
        std::cout << "reply " << (reply ? reply->payload : "none") << std::endl;
    });
    radics::loop().request(
        "dtn://far/never", "ask", [](const auto& reply) { std::cout << "none " << !reply << std::endl; }, 20ms);
    radics::loop().on_mail([&](const radics::Message& m) {
        radics::loop().cancel(beat);
        radics::after(10ms, [] { radics::stop(); });
        std::cout << m.payload << std::endl;
    });
    radics::run();
    std::thread other;
    radics::after(1ms, [&] { other = std::thread([] { radics::stop(); }); });
    radics::run();
    other.join();
    std::cout << "end" << std::endl;
}
