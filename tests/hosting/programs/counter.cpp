// Counts what its source says and what comes by mail, and reports both, wherever it runs.
// argv[1]: where reports go. Ends after the source's end and the mail "stop".
#include <iostream>
#include <string>
#include <thread>

#include <radics.hpp>

static std::string place()
{
    return " at " + radics::host() + " " + std::to_string(radics::epoch());
}

static void mail(const std::string& report)
{
    while (auto message = radics::receive()) {
        radics::send(report, "mail " + std::to_string(message->number) + " " + message->payload);
        if (message->payload == "stop")
            return;
    }
}

int main(int argc, char** argv)
{
    std::string report = argc > 1 ? argv[1] : "dtn://nobody/";
    std::thread reader(mail, report);
    std::uint64_t count = 0, hash = 14695981039346656037u, wrong = 0;
    if (!radics::sources().empty()) {
        for (auto& line : radics::subscribe(radics::sources().front())) {
            count++;
            wrong += line.number != count;
            for (unsigned char c : line.payload)
                hash = (hash ^ c) * 1099511628211u;
            std::cout << "line " << count << place() << std::endl;
            if (count % 5 == 0)
                radics::send(report, "lines " + std::to_string(count) + place());
        }
        radics::send(report, "end " + std::to_string(count) + " " + std::to_string(hash) + " " + std::to_string(wrong));
    }
    reader.join();
    std::cout << "done" << std::endl;
    return 7;
}
