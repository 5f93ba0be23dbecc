// Does what argv says: the whole client API, one command after the other.
#include <chrono>
#include <cstring>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <sys/syscall.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include <radics.hpp>

using namespace std::chrono_literals;

static void about()
{
    std::cout << radics::name() << " " << radics::eid() << " " << radics::host() << " "
              << radics::host_eid() << " " << radics::epoch();
    for (auto& source : radics::sources())
        std::cout << " [" << source << "]";
    const char* mood = getenv("MOOD");
    std::cout << " " << (mood ? mood : "none") << std::endl;
}

static void echo()
{
    while (auto message = radics::receive()) {
        if (message->payload == "stop")
            return;
        radics::send(message->from, "echo " + message->payload);
    }
}

static void flood(std::size_t n)
{
    for (std::size_t i = 0; i < n; i++)
        radics::send("dtn://sink/", std::string(i % 3 ? 100 : radics::message_max, char('a' + i % 26)));
    std::cout << "flooded" << std::endl;
}

static void drink()
{
    std::uint64_t bytes = 0, messages = 0;
    for (auto& message : radics::subscribe("stream")) {
        bytes += message.payload.size();
        messages++;
    }
    auto again = radics::subscribe("stream");
    std::cout << messages << " " << bytes << " " << !again.next(0ms) << again.ended() << std::endl;
}

static void errors()
{
    auto code = [](auto&& call) {
        try {
            call();
        } catch (const std::system_error& e) {
            return e.code().value();
        }
        return 0;
    };
    std::cout << (code([] { radics::send("x", std::string(radics::message_max + 1, ' ')); }) == EMSGSIZE)
              << (code([] { radics::send("", "x"); }) == EINVAL)
              << (code([] { radics::subscribe(std::string(300, 'x')); }) == EINVAL)
              << !radics::receive(20ms) << !radics::receive(0ms)
              << (radics_send("x", (void*)0xffffffff80100000, 10, 0) == -EFAULT)
              << (syscall(RADICS_SYS_RECEIVE, 8) == -1 && errno == EFAULT)
              << (syscall(RADICS_SYS_RECEIVE, 0xffff800000100000) == -1 && errno == EFAULT) << std::endl;
    syscall(449, 1, 2);
    syscall(449, 1, 2);
    radics::log(radics::Level::warn, "mind the gap");
    int streams = 0;
    while (radics_subscribe(("s" + std::to_string(streams)).c_str()) > 0)
        streams++;
    std::cout << streams << std::endl;
    char small[4];
    radics_message head;
    long n = radics_receive(RADICS_MAILBOX, small, sizeof small, -1, &head);
    std::cout << (n == -EMSGSIZE) << head.length << head.from << std::endl;
}

static void count(int n)
{
    for (int i = 0; i < n; i++)
        std::cout << "count " << i << "\n";
}

int main(int argc, char** argv)
{
    for (int i = 1; i < argc; i++) {
        std::string what = argv[i];
        if (what == "about")
            about();
        else if (what == "echo")
            echo();
        else if (what == "flood")
            flood(std::stoul(argv[++i]));
        else if (what == "drink")
            drink();
        else if (what == "errors")
            errors();
        else if (what == "count")
            count(std::stoi(argv[++i]));
        else if (what == "sleep")
            std::this_thread::sleep_for(std::chrono::milliseconds(std::stoi(argv[++i])));
        else if (what == "abort")
            std::abort();
        else if (what == "touch") { // more than there is, behind malloc's back
            char* all = static_cast<char*>(malloc(20 << 20));
            char* more = static_cast<char*>(malloc(20 << 20));
            memset(all, 1, 20 << 20);
            memset(more, 1, 20 << 20);
        }
    }
    return 5;
}
