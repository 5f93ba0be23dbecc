// echo: a service and its client.
//
//   radics build examples/echo.cpp -o echo.img
//   radics run echo.img --name echo
//   printf hello | radics request echo/echo                # from any node of the mesh
//   radics run echo.img --name client --env TO=dtn://vm.ID/echo --stdin lines.txt
//
// Without TO it serves: "echo" answers with what was asked and says where, "count" with how many it
// has answered. Once a minute it has its state written to disk; when its host is lost, it goes on
// from there. With TO it asks the service at that EID for each line of its input.
#include <cstdlib>
#include <iostream>
#include <string>

#include <radics.hpp>

using namespace std::chrono_literals;

static void serve()
{
    static unsigned long answered = 0;
    radics::serve("echo", [](const radics::Message& question) {
        answered++;
        return question.payload + " from " + radics::host();
    });
    radics::serve("count", [](const radics::Message&) { return std::to_string(answered); });
    radics::every(1min, [] {
        if (radics::checkpoint() == radics::Checkpoint::restored)
            radics::log(radics::Level::warn, "set back to my checkpoint");
    });
    radics::run();
}

static int ask(const std::string& service)
{
    for (std::string line; std::getline(std::cin, line);) {
        auto reply = radics::request(service, line, 1h); // it may be away: the request waits for it
        if (!reply)
            return 1;
        std::cout << reply->payload << std::endl;
    }
    return 0;
}

int main()
{
    if (const char* to = std::getenv("TO"))
        return ask(to);
    serve();
}
