/*
 * radics_loop.hpp: services, timers and everything else that comes, each with its handler:
 *
 *     radics::serve("echo", [](const radics::Message& m) { return m.payload; });
 *     radics::every(1min, [] { radics::checkpoint(); });
 *     radics::run();
 *
 * run() takes all that comes for the VM, whatever it is; what has no handler is dropped, with a line
 * in the log. Handlers run one after the other, in the thread that called run(), and may add and
 * take away handlers. What they throw ends run(), which can be called again.
 */
#ifndef RADICS_LOOP_HPP
#define RADICS_LOOP_HPP

#include <functional>
#include <map>
#include <utility>

#include "radics.hpp"

namespace radics
{

class Loop
{
  public:
    using Handler = std::function<void(const Message &)>;
    using Answer = std::function<std::string(const Message &)>;
    using Action = std::function<void()>;
    using Reply = std::function<void(const std::optional<Message> &)>;

    /* Mail that is for none of our services. */
    void on_mail(Handler handler) { streams_[RADICS_MAILBOX] = std::move(handler); }

    /* Messages of a source, from after + 1 on; not its end. */
    Subscription on(const std::string &source, Handler handler, std::uint64_t after = 0)
    {
        Subscription subscription(source, after);
        streams_[subscription.stream()] = std::move(handler);
        return subscription;
    }

    /* What is sent to "EID of this VM"NAME; what the handler returns is the reply. */
    void serve(const std::string &service, Answer answer)
    {
        const long stream = detail::check(radics_serve(service.c_str()), "radics::serve");
        streams_[static_cast<int>(stream)] = [answer = std::move(answer)](const Message &message) {
            reply(message, answer(message));
        };
    }

    /* Once, or again and again; the number is for cancel(). */
    std::int64_t after(std::chrono::nanoseconds delay, Action action)
    {
        return timer(delay, std::chrono::nanoseconds(0), std::move(action));
    }

    std::int64_t every(std::chrono::nanoseconds period, Action action)
    {
        return timer(period, period, std::move(action));
    }

    void cancel(std::int64_t timer)
    {
        radics_timer_cancel(timer);
        timers_.erase(timer);
    }

    /* The handler gets the reply, or nothing when none came in time. */
    void request(const std::string &to, std::string_view payload, Reply handler,
                 Timeout timeout = std::nullopt)
    {
        const std::int64_t number =
            detail::check(radics_request_begin(to.c_str(), payload.data(), payload.size(),
                                               timeout ? timeout->count() : -1),
                          "radics::Loop::request");
        requests_[number] = std::move(handler);
    }

    /* Until stop(), which a handler or another thread calls. */
    void run()
    {
        stopped_ = false;
        std::string buffer(message_max, '\0');
        while (!stopped_)
            turn(buffer);
    }

    void stop()
    {
        stopped_ = true;
        radics_timer(0, 0); /* wakes run() up if it is another thread's; it knows no such timer */
    }

  private:
    std::int64_t timer(std::chrono::nanoseconds delay, std::chrono::nanoseconds period,
                       Action action)
    {
        const std::int64_t number =
            detail::check(radics_timer(delay.count(), period.count()), "radics::Loop");
        timers_[number] = {std::move(action), period.count() > 0};
        return number;
    }

    void turn(std::string &buffer)
    {
        radics_message head;
        const long n = radics_receive(RADICS_ANY, buffer.data(), buffer.size(), -1, &head);
        if (n == -EINTR || n == -ENODATA)
            return;
        const auto length = static_cast<std::size_t>(detail::check(n, "radics::run"));
        const auto number = static_cast<std::int64_t>(head.number);
        if (head.stream == RADICS_TIMERS)
            due(number);
        else if (head.stream == RADICS_REPLIES)
            replied(number, head, buffer.substr(0, length));
        else
            came({buffer.substr(0, length), head.from, head.to, head.number, head.stream});
    }

    void due(std::int64_t number)
    {
        auto found = timers_.find(number);
        if (found == timers_.end())
            return;
        Action action = found->second.first; /* it may cancel itself */
        if (!found->second.second)
            timers_.erase(found);
        action();
    }

    void replied(std::int64_t number, const radics_message &head, std::string payload)
    {
        auto found = requests_.extract(number);
        if (!found)
            return;
        std::optional<Message> message;
        if (!(head.flags & RADICS_M_TIMEOUT))
            message = Message{std::move(payload), head.from, head.to, head.number, head.stream};
        found.mapped()(message);
    }

    void came(const Message &message)
    {
        auto found = streams_.find(message.stream);
        if (found == streams_.end()) {
            log(Level::warn, "radics::run: a message from " + message.from + " has no handler");
            return;
        }
        Handler handler = found->second; /* it may put another one in its place */
        handler(message);
    }

    std::map<int, Handler> streams_;
    std::map<std::int64_t, std::pair<Action, bool>> timers_; /* whether it is due again */
    std::map<std::int64_t, Reply> requests_;
    volatile bool stopped_ = false; /* one processor: threads see it in time */
};

/* The one that most programs need. */
inline Loop &loop()
{
    static Loop the_one;
    return the_one;
}

inline void serve(const std::string &service, Loop::Answer answer)
{
    loop().serve(service, std::move(answer));
}

inline std::int64_t after(std::chrono::nanoseconds delay, Loop::Action action)
{
    return loop().after(delay, std::move(action));
}

inline std::int64_t every(std::chrono::nanoseconds period, Loop::Action action)
{
    return loop().every(period, std::move(action));
}

inline void run() { loop().run(); }
inline void stop() { loop().stop(); }

} // namespace radics

#endif
