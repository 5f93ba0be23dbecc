// wordcount: counts the words of its sources, wherever it runs.
//
//   radics-mesh build examples/wordcount.cpp -o wordcount.img
//   radics-mesh run wordcount.img --source text -- dtn://base/reports
//
// Each message of a source is one line of text or several. At the end of all sources it prints the
// ten most frequent words and, given an EID, sends it the whole count: how many messages and words
// it counted on which host, then `word count` lines, in parts of at most 60 KB.
#include <algorithm>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <radics.hpp>

namespace {

constexpr std::size_t part_max = 60 * 1024 - 32; // room for the "part i/n" line

struct Tally {
    std::uint64_t messages = 0, words = 0;
};

struct Count {
    std::map<std::string, std::uint64_t> words;
    std::map<std::string, Tally> hosts;

    void add(const std::string& text)
    {
        Tally& here = hosts[radics::host()];
        here.messages++;
        std::istringstream in(text);
        for (std::string word; in >> word; here.words++)
            words[word]++;
    }

    std::vector<std::pair<std::string, std::uint64_t>> most_frequent(std::size_t n) const
    {
        std::vector<std::pair<std::string, std::uint64_t>> all(words.begin(), words.end());
        std::stable_sort(all.begin(), all.end(),
                         [](auto& a, auto& b) { return a.second > b.second; });
        all.resize(std::min(n, all.size()));
        return all;
    }

    std::vector<std::string> lines() const
    {
        std::vector<std::string> out;
        for (auto& [host, tally] : hosts)
            out.push_back("host " + host + " messages " + std::to_string(tally.messages) +
                          " words " + std::to_string(tally.words) + "\n");
        for (auto& [word, n] : words)
            out.push_back(word + " " + std::to_string(n) + "\n");
        return out;
    }
};

void send_report(const std::string& to, const std::vector<std::string>& lines)
{
    std::vector<std::string> parts(1);
    for (auto& line : lines) {
        if (parts.back().size() + line.size() > part_max && !parts.back().empty())
            parts.emplace_back();
        parts.back() += line.substr(0, part_max);
    }
    for (std::size_t i = 0; i < parts.size(); i++)
        radics::send(to, "part " + std::to_string(i + 1) + "/" + std::to_string(parts.size()) +
                             "\n" + parts[i]);
}

} // namespace

int main(int argc, char** argv)
{
    std::vector<std::string> names = radics::sources();
    if (names.empty())
        names.push_back("text");

    std::vector<radics::Subscription> sources;
    for (auto& name : names)
        sources.push_back(radics::subscribe(name));

    Count count;
    for (auto& source : sources)
        for (auto& message : source)
            count.add(message.text());

    for (auto& [word, n] : count.most_frequent(10))
        std::cout << word << " " << n << "\n";
    if (argc > 1)
        send_report(argv[1], count.lines());
}
