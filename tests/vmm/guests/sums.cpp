// Adds up the numbers of a source and sends each sum; at the end, checks that its memory held.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "radics.h"

int main(int argc, char **argv)
{
    const size_t ballast_bytes = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1 << 20;
    std::vector<unsigned char> ballast(ballast_bytes);
    unsigned long expected = 0;
    for (size_t i = 0; i < ballast.size(); i++)
        expected += ballast[i] = static_cast<unsigned char>((i * 2654435761u) >> 13);

    static char buf[RADICS_MESSAGE_MAX];
    char host[RADICS_NAME_MAX + 1];
    radics_message message;
    unsigned long sum = 0;
    const int numbers = radics_subscribe("numbers");
    for (long n; (n = radics_receive(numbers, buf, sizeof buf, -1, &message)) >= 0;) {
        sum += std::stoul(std::string(buf, static_cast<size_t>(n)));
        radics_info(RADICS_INFO_HOST, host, sizeof host);
        const std::string text =
            std::to_string(message.number) + " " + std::to_string(sum) + " " + host;
        radics_send("dtn://here/sums", text.data(), text.size(), 0);
    }
    unsigned long held = 0;
    for (const unsigned char byte : ballast)
        held += byte;
    std::cout << "sum " << sum << (held == expected ? ", memory held" : ", MEMORY LOST") << "\n";
    return held == expected ? 7 : 1;
}
