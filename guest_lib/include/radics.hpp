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
 * Services, timers, and waiting for all of it at once are in radics_loop.hpp, which this includes.
 *
 * Errors are std::system_error with std::generic_category: ENOTCONN without a host, EMSGSIZE for
 * more than radics::message_max bytes, EINVAL for an empty or overlong name, ENFILE for too many
 * subscriptions, EOPNOTSUPP where the node is of an older version. Running out of time and the end of
 * a stream are no errors, but an empty optional.
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
inline constexpr int api_major = RADICS_API_MAJOR, api_minor = RADICS_API_MINOR;

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

/* How often this VM was set back to an earlier state: see checkpoint(). */
inline std::uint64_t branch() { return std::stoull("0" + detail::info(RADICS_INFO_BRANCH)); }

/* Bytes of RAM. */
inline std::uint64_t memory() { return std::stoull(detail::info(RADICS_INFO_MEMORY)); }

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
    /* From message after + 1 on: without `after` from the first, whenever that was made. */
    explicit Subscription(const std::string &source, std::uint64_t after = 0)
        : source_(source), stream_(static_cast<int>(
                               detail::check(after ? radics_subscribe_after(source.c_str(), after)
                                                   : radics_subscribe(source.c_str()),
                                             "radics::subscribe")))
    {
    }

    /* The next message; empty when the time is over or the source has ended: see ended(). */
    std::optional<Message> next(Timeout timeout = std::nullopt)
    {
        return detail::receive(stream_, timeout, ended_);
    }

    /* No more of it, for any copy; what was not taken is gone. */
    void close()
    {
        ended_ = true;
        detail::check(radics_close(stream_), "radics::Subscription::close");
    }

    bool ended() const { return ended_; }
    int stream() const { return stream_; }
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

inline Subscription subscribe(const std::string &source, std::uint64_t after = 0)
{
    return Subscription(source, after);
}

/* ---- requests ----------------------------------------------------------------------------- */

/* The reply of a service, "dtn://node/service" or "dtn://vm.ID/service"; empty when none came in
 * time. The first reply counts, once, over any number of moves. The request waits on its way while
 * its responder is away. */
inline std::optional<Message> request(const std::string &to, std::string_view payload,
                                      Timeout timeout = std::nullopt)
{
    radics_message head;
    std::string buffer(message_max, '\0');
    const long n = radics_request(to.c_str(), payload.data(), payload.size(), buffer.data(),
                                  buffer.size(), timeout ? timeout->count() : -1, &head);
    if (n == -ETIMEDOUT)
        return std::nullopt;
    buffer.resize(static_cast<std::size_t>(detail::check(n, "radics::request")));
    return Message{std::move(buffer), head.from, head.to, head.number, head.stream};
}

/* To whoever sent a message, be it a request or not. */
inline void reply(const Message &message, std::string_view payload, SendOptions options = {})
{
    send(message.from, payload, options);
}

/* ---- state -------------------------------------------------------------------------------- */

enum class Checkpoint { saved, restored };

/* Has the VM, at this very point, written to the host's disk. Returns `saved` when that is done, and
 * `restored` each time the VM was set back to here, because its host or QEMU was lost; what it sent
 * in between may then be sent again. Throws ENOSPC, EIO: not written, and the VM goes on. */
inline Checkpoint checkpoint()
{
    return detail::check(radics_checkpoint(), "radics::checkpoint") ? Checkpoint::restored
                                                                    : Checkpoint::saved;
}

/* Where this VM would like to be; the scheduler weighs it. The last hint counts, over moves too. */
inline void move_near(const std::string &source)
{
    detail::check(radics_move_near(source.c_str()), "radics::move_near");
}
inline void move_to(const std::string &node)
{
    detail::check(radics_move_to(node.c_str()), "radics::move_to");
}
inline void stay() { detail::check(radics_stay(), "radics::stay"); }
inline void move_free() { detail::check(radics_move_free(), "radics::move_free"); }

/* Keys and values beside the program's memory: they move with the VM and are set back with it.
 * Throws ENOSPC past RADICS_KV_KEYS_MAX and RADICS_KV_BYTES_MAX. */
namespace kv
{

inline void put(const std::string &key, std::string_view value)
{
    detail::check(radics_kv_put(key.c_str(), value.data(), value.size()), "radics::kv::put");
}

inline std::optional<std::string> get(const std::string &key)
{
    std::string value;
    for (;;) {
        const long n = radics_kv_get(key.c_str(), value.data(), value.size());
        if (n == -ENOENT)
            return std::nullopt;
        const bool whole = detail::check(n, "radics::kv::get") <= static_cast<long>(value.size());
        value.resize(static_cast<std::size_t>(n));
        if (whole)
            return value;
    }
}

/* Whether it was there. */
inline bool erase(const std::string &key)
{
    const int r = radics_kv_erase(key.c_str());
    return r != -ENOENT && !detail::check(r, "radics::kv::erase");
}

inline std::vector<std::string> list()
{
    std::string text(RADICS_KV_BYTES_MAX + RADICS_KV_KEYS_MAX, '\0');
    text.resize(static_cast<std::size_t>(
        detail::check(radics_kv_list(text.data(), text.size()), "radics::kv::list")));
    std::vector<std::string> keys;
    for (std::size_t at = 0; at < text.size(); at += keys.back().size() + 1)
        keys.emplace_back(text.c_str() + at);
    return keys;
}

} // namespace kv

/* ---- the mesh ----------------------------------------------------------------------------- */

using Node = radics_mesh_node;
using Source = radics_mesh_source;

/* As far as the node knows that the VM is on: this node first, then the nearest ones. */
struct Mesh {
    std::vector<Node> nodes;
    std::vector<Source> sources;
};

/* Empty when the node did not answer in time. */
inline std::optional<Mesh> mesh(Timeout timeout = std::chrono::seconds(10))
{
    std::string text(message_max + 1, '\0');
    const long n = radics_mesh(text.data(), text.size(), timeout ? timeout->count() : -1);
    if (n == -ETIMEDOUT)
        return std::nullopt;
    detail::check(n, "radics::mesh");
    Mesh found;
    Node node;
    Source source;
    for (const char *at = text.c_str(); radics_mesh_next_node(&at, &node);)
        found.nodes.push_back(node);
    for (const char *at = text.c_str(); radics_mesh_next_source(&at, &source);)
        found.sources.push_back(source);
    return found;
}

} // namespace radics

#include "radics_loop.hpp"

#endif
