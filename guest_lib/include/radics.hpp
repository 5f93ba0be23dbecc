/*
 * radics.hpp: C++20 over radics.h. Everything a program needs:
 *
 *     #include <iostream>
 *     #include <radics.hpp>
 *
 *     int main()
 *     {
 *         for (auto& line : radics::subscribe("text"))
 *             std::cout << radics::host() << ": " << line.text() << '\n';
 *         radics::send("dtn://base/reports", "the stream has ended");
 *     }
 *
 * Errors are std::system_error with std::generic_category: ENOTCONN without a host, EMSGSIZE for
 * more than radics::message_max bytes, EINVAL for an empty or overlong name, ENFILE for too many
 * subscriptions. Running out of time and the end of a stream are no errors, but an empty optional.
 */
#ifndef RADICS_HPP
#define RADICS_HPP

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "radics.h"

namespace radics
{

inline constexpr std::size_t message_max = RADICS_MESSAGE_MAX;

enum class Level {
    debug = RADICS_DEBUG,
    info = RADICS_INFO,
    warn = RADICS_WARN,
    error = RADICS_ERROR
};

namespace detail
{

[[noreturn]] inline void fail(long error, const char *what)
{
    throw std::system_error(static_cast<int>(-error), std::generic_category(), what);
}

inline long check(long result, const char *what)
{
    if (result < 0)
        fail(result, what);
    return result;
}

inline std::string info(int what)
{
    std::string text(static_cast<std::size_t>(check(radics_info(what, nullptr, 0), "radics::info")),
                     '\0');
    for (;;) {
        /* the host, and with it a name's length, may change between two calls */
        auto n = static_cast<std::size_t>(
            check(radics_info(what, text.data(), text.size() + 1), "radics::info"));
        bool whole = n <= text.size();
        text.resize(n);
        if (whole)
            return text;
    }
}

} // namespace detail

/* ---- who and where ------------------------------------------------------------------------ */

/* This VM's name, and its EID: where others send messages to. */
inline std::string name() { return detail::info(RADICS_INFO_NAME); }
inline std::string eid() { return detail::info(RADICS_INFO_EID); }

/* The node it runs on at this moment; it may be another at the next. */
inline std::string host() { return detail::info(RADICS_INFO_HOST); }
inline std::string host_eid() { return detail::info(RADICS_INFO_HOST_EID); }

/* 1 at birth, and one more after each move. */
inline std::uint64_t epoch() { return std::stoull(detail::info(RADICS_INFO_EPOCH)); }

/* The names given by `run --source`, in order. */
inline std::vector<std::string> sources()
{
    std::vector<std::string> names;
    const std::string lines = detail::info(RADICS_INFO_SOURCES);
    for (std::size_t at = 0, end; (end = lines.find('\n', at)) != std::string::npos; at = end + 1)
        names.push_back(lines.substr(at, end - at));
    return names;
}

inline void log(Level level, const std::string &text)
{
    detail::check(radics_log(static_cast<radics_level>(level), text.c_str()), "radics::log");
}

/* ---- sending ------------------------------------------------------------------------------ */

struct SendOptions {
    std::chrono::seconds lifetime{0}; /* how long it may travel; 0: the node's default */
};

/* To an EID or a service name. Returns when the message is safe with the VM: it is delivered once,
 * over any number of moves. */
inline void send(const std::string &to, std::string_view payload, SendOptions options = {})
{
    detail::check(radics_send(to.c_str(), payload.data(), payload.size(),
                              static_cast<unsigned long>(options.lifetime.count())),
                  "radics::send");
}

inline void send(const std::string &to, std::span<const std::byte> payload,
                 SendOptions options = {})
{
    send(to, std::string_view(reinterpret_cast<const char *>(payload.data()), payload.size()),
         options);
}

/* ---- receiving ---------------------------------------------------------------------------- */

struct Message {
    std::string payload;
    std::string from;         /* sender's EID; empty where the source has none */
    std::string to;           /* the service it was sent to; empty in a subscription */
    std::uint64_t number = 0; /* in its stream, from 1 */
    int stream = RADICS_MAILBOX;

    const std::string &text() const { return payload; }
    std::span<const std::byte> bytes() const { return std::as_bytes(std::span(payload)); }
};

/* No limit: wait for ever. */
using Timeout = std::optional<std::chrono::nanoseconds>;

namespace detail
{

/* Empty when the time is over (ended stays false) or the stream is. */
inline std::optional<Message> receive(int stream, Timeout timeout, bool &ended)
{
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    radics_message head;
    std::string buffer(4096, '\0');
    for (;;) {
        std::int64_t left = -1;
        if (timeout)
            left = std::max<std::int64_t>(0, (*timeout - (clock::now() - start)).count());
        const long n = radics_receive(stream, buffer.data(), buffer.size(), left, &head);
        if (n >= 0) {
            buffer.resize(static_cast<std::size_t>(n));
            return Message{std::move(buffer), head.from, head.to, head.number, head.stream};
        }
        ended = n == -ENODATA;
        if (ended || n == -ETIMEDOUT)
            return std::nullopt;
        if (n == -EMSGSIZE)
            buffer.resize(head.length);
        else if (n != -EINTR)
            fail(n, "radics::receive");
    }
}

} // namespace detail

/* The next message of the mailbox: what others sent to this VM's EID or its services. */
inline std::optional<Message> receive(Timeout timeout = std::nullopt)
{
    bool ended = false;
    return detail::receive(RADICS_MAILBOX, timeout, ended);
}

/* A named data source: an input range of messages, or one by one with next(). Copies share the
 * stream: each message goes to one of them. */
class Subscription
{
  public:
    explicit Subscription(const std::string &source)
        : source_(source), stream_(static_cast<int>(detail::check(radics_subscribe(source.c_str()),
                                                                  "radics::subscribe")))
    {
    }

    /* The next message; empty when the time is over or the source has ended: see ended(). */
    std::optional<Message> next(Timeout timeout = std::nullopt)
    {
        return detail::receive(stream_, timeout, ended_);
    }

    bool ended() const { return ended_; }
    const std::string &source() const { return source_; }

    class iterator
    {
      public:
        using value_type = Message;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default;
        explicit iterator(Subscription &of) : of_(&of) { ++*this; }
        Message &operator*() const { return of_->current_; }
        Message *operator->() const { return &of_->current_; }
        iterator &operator++()
        {
            if (auto message = of_->next())
                of_->current_ = std::move(*message);
            else
                of_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &i, std::default_sentinel_t) { return !i.of_; }

      private:
        Subscription *of_ = nullptr;
    };

    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const { return {}; }

  private:
    std::string source_;
    int stream_;
    bool ended_ = false;
    Message current_;
};

inline Subscription subscribe(const std::string &source) { return Subscription(source); }

} // namespace radics

#endif
