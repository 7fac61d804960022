/* xmpp_close.hpp: xmpp_close.h for C++11 and later. Header-only; link with the library of the C API.
 *
 *    #include <xmpp_close.hpp>
 *    #include <iostream>
 *    #include <unistd.h>
 *    #include <vector>
 *
 *    bool close_stream(int fd, std::vector<std::string> &inbox)
 *    {
 *        xmpp_close::options options;
 *        options.total_ms = std::chrono::seconds(20);
 *        options.on_stanza = [&](const char *xml, size_t len) { inbox.emplace_back(xml, len); return 0; };
 *        const xmpp_close::result closed = xmpp_close::close(fd, options);
 *        std::cerr << (closed ? closed.report.describe() : closed.strerror()) << '\n';
 *        ::close(fd);
 *        return closed && closed.report.ended() == xmpp_close::outcome::clean;
 *    }
 *
 * xmpp_close.h says what everything means. Names are those of C without the prefix, and nothing behaves differently. A C
 * function that gains nothing in C++, such as xmpp_close_idle_seconds(), has no counterpart here.
 *
 * - Handles free what they own. They can be moved, but not copied. A handle that is default-made or moved-from is empty: it
 *   converts to false, and its functions return XMPP_CLOSE_ERR_NULL. An empty stream is an open one, as NULL is in C.
 *   What C calls _new is `create`, and for a stream `engine`. Both return an empty handle on failure.
 * - Options own their strings and callables. An empty one is what NULL is in C. A text ends at its first NUL. What a callable
 *   captures by reference must live until the call returns, or as long as the stream or batch that has the callable.
 * - Callables return what the callbacks of C return: 0 is "go on". They are kept in std::function, so they must be copyable,
 *   and lie on the heap if they capture more than a pointer or two. std::ref() of a callable is neither copied nor allocated.
 * - A call reads its options where they are. It copies and allocates only what C copies and allocates.
 * - An exception that leaves a callable does not enter C. It stops that stream: the outcome is XMPP_CLOSE_CANCELLED, or, from a
 *   callable of a transport, XMPP_CLOSE_RESET by ECANCELED. No other callable of the stream is called any more. When the C
 *   function has returned, the exception is thrown on; of a started stream, that is step(). In a batch the other streams go
 *   on, and one exception comes out. An exception of on_log stops nothing before another callable of the stream is due.
 * - Times are milliseconds or std::chrono. A limit is rounded up. A limit that is too long is the longest there is. A duration
 *   of zero or less is 1 ms, since the number 0 means the default.
 * - Exceptions and RTTI are not needed. A file that is compiled without exceptions has other types than a file with them: a
 *   program that mixes both in one interface fails to link, instead of breaking the rule about exceptions.
 */

#ifndef XMPP_CLOSE_HPP
#define XMPP_CLOSE_HPP

#include "xmpp_close.h"
#include "xmpp_close_fwd.hpp"

#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#if XMPP_CLOSE_HPP_EXCEPTIONS
#include <exception>
#endif

/* Results that say something which must not be missed. */
#if __cplusplus >= 201703L
#define XMPP_CLOSE_HPP_NODISCARD [[nodiscard]]
#else
#define XMPP_CLOSE_HPP_NODISCARD XMPP_CLOSE_MUST_USE
#endif

namespace xmpp_close {
inline namespace XMPP_CLOSE_HPP_ABI {

/* Words: the numbers are those of C */

/// xmpp_close_outcome.
enum class outcome : std::uint32_t {
    pending = XMPP_CLOSE_PENDING, clean = XMPP_CLOSE_CLEAN, peer_eof = XMPP_CLOSE_PEER_EOF,
    truncated = XMPP_CLOSE_TRUNCATED, reset = XMPP_CLOSE_RESET, timed_out = XMPP_CLOSE_TIMED_OUT,
    stalled = XMPP_CLOSE_STALLED, malformed = XMPP_CLOSE_MALFORMED, tls_failed = XMPP_CLOSE_TLS_FAILED,
    cancelled = XMPP_CLOSE_CANCELLED
};

/// xmpp_close_initiator.
enum class initiator : std::uint32_t {
    none = XMPP_CLOSE_INITIATOR_NONE, us = XMPP_CLOSE_INITIATOR_US, peer = XMPP_CLOSE_INITIATOR_PEER,
    crossing = XMPP_CLOSE_INITIATOR_CROSSING
};

/// xmpp_close_limit.
enum class limit : std::uint32_t {
    none = XMPP_CLOSE_LIMIT_NONE, total = XMPP_CLOSE_LIMIT_TOTAL, no_progress = XMPP_CLOSE_LIMIT_NO_PROGRESS,
    linger = XMPP_CLOSE_LIMIT_LINGER, answer = XMPP_CLOSE_LIMIT_ANSWER, batch = XMPP_CLOSE_LIMIT_BATCH
};

/// xmpp_close_fact.
enum class fact : int {
    cancel = XMPP_CLOSE_FACT_CANCEL, peer_closed = XMPP_CLOSE_FACT_PEER_CLOSED, malformed = XMPP_CLOSE_FACT_MALFORMED,
    paused = XMPP_CLOSE_FACT_PAUSED, restarted = XMPP_CLOSE_FACT_RESTARTED, header_out = XMPP_CLOSE_FACT_HEADER_OUT,
    arrived = XMPP_CLOSE_FACT_ARRIVED, eof = XMPP_CLOSE_FACT_EOF, notified = XMPP_CLOSE_FACT_NOTIFIED,
    read_failed = XMPP_CLOSE_FACT_READ_FAILED, write_failed = XMPP_CLOSE_FACT_WRITE_FAILED,
    tls_failed = XMPP_CLOSE_FACT_TLS_FAILED, did_notify = XMPP_CLOSE_FACT_DID_NOTIFY, did_shut = XMPP_CLOSE_FACT_DID_SHUT,
    stanzas = XMPP_CLOSE_FACT_STANZAS, oversize = XMPP_CLOSE_FACT_OVERSIZE
};

/// xmpp_close_phase.
enum class phase : int {
    begun = XMPP_CLOSE_PHASE_BEGUN, tag_sent = XMPP_CLOSE_PHASE_TAG_SENT,
    tag_received = XMPP_CLOSE_PHASE_TAG_RECEIVED, ended = XMPP_CLOSE_PHASE_ENDED
};

/// What became of what was to be sent: an xmpp_close_result.
enum class sent : int {
    ok = XMPP_CLOSE_OK, refused = XMPP_CLOSE_REFUSED, full = XMPP_CLOSE_FULL, err_null = XMPP_CLOSE_ERR_NULL,
    err_invalid = XMPP_CLOSE_ERR_INVALID, err_system = XMPP_CLOSE_ERR_SYSTEM, err_panic = XMPP_CLOSE_ERR_PANIC
};

/// An xmpp_close_frame, or a negative xmpp_close_result.
enum class frame : int {
    more = XMPP_CLOSE_FRAME_MORE, header = XMPP_CLOSE_FRAME_HEADER, stanza = XMPP_CLOSE_FRAME_STANZA,
    oversize = XMPP_CLOSE_FRAME_OVERSIZE, end = XMPP_CLOSE_FRAME_END, malformed = XMPP_CLOSE_FRAME_MALFORMED,
    err_null = XMPP_CLOSE_ERR_NULL, err_invalid = XMPP_CLOSE_ERR_INVALID, err_panic = XMPP_CLOSE_ERR_PANIC
};

/// xmpp_close_wants(), a member for each bit.
struct wants {
    bool read, write, may_send, answer, parse, inside, notify, shut, over;

    explicit wants(std::uint32_t bits) noexcept
        : read((bits & XMPP_CLOSE_READ) != 0), write((bits & XMPP_CLOSE_WRITE) != 0),
          may_send((bits & XMPP_CLOSE_MAY_SEND) != 0), answer((bits & XMPP_CLOSE_ANSWER) != 0),
          parse((bits & XMPP_CLOSE_PARSE) != 0), inside((bits & XMPP_CLOSE_INSIDE) != 0),
          notify((bits & XMPP_CLOSE_NOTIFY) != 0), shut((bits & XMPP_CLOSE_SHUT) != 0),
          over((bits & XMPP_CLOSE_OVER) != 0)
    {
    }
};

/// xmpp_close_report, and what its numbers mean.
struct report : ::xmpp_close_report {
    report() noexcept : ::xmpp_close_report XMPP_CLOSE_REPORT_INIT {}
    explicit report(const ::xmpp_close_report &c) noexcept : ::xmpp_close_report(c) {}

    xmpp_close::outcome ended() const noexcept { return xmpp_close::outcome(this->outcome); }
    xmpp_close::initiator begun_by() const noexcept { return xmpp_close::initiator(this->initiator); }
    xmpp_close::limit limited_by() const noexcept { return xmpp_close::limit(this->limit); }
    /// One line for a log.
    std::string describe() const
    {
        char line[2048];
        const int length = xmpp_close_describe(this, line, sizeof line);
        return length > 0 ? std::string(line) : std::string();
    }
};

using summary = ::xmpp_close_summary;

/* Times */

namespace detail {

/// Milliseconds, rounded up; nothing below 0, and nothing above `most`.
template <class Rep, class Period>
constexpr std::uint64_t millis(std::chrono::duration<Rep, Period> time, std::uint64_t most) noexcept
{
    using exact = std::chrono::duration<long double, std::milli>;
    return !(exact(time).count() > 0)                                  ? 0
           : exact(time).count() >= static_cast<long double>(most)     ? most
           : static_cast<std::uint64_t>(exact(time).count()) +
               (exact(time).count() > static_cast<long double>(static_cast<std::uint64_t>(exact(time).count())) ? 1 : 0);
}

} // namespace detail

/// A time limit of options: a number of milliseconds, of which 0 is the default, or any std::chrono::duration.
class time_limit {
public:
    constexpr time_limit(std::uint32_t ms = 0) noexcept : ms_(ms) {}
    template <class Rep, class Period>
    constexpr time_limit(std::chrono::duration<Rep, Period> time) noexcept
        : ms_(detail::millis(time, UINT32_MAX) == 0 ? 1 : static_cast<std::uint32_t>(detail::millis(time, UINT32_MAX)))
    {
    }
    constexpr operator std::uint32_t() const noexcept { return ms_; }

private:
    std::uint32_t ms_;
};

/// A moment of an engine's clock: a number of milliseconds, or a time_point of any clock that only goes forward.
class moment {
public:
    constexpr moment(std::uint64_t ms = 0) noexcept : ms_(ms) {}
    template <class Clock, class Duration>
    constexpr moment(std::chrono::time_point<Clock, Duration> time) noexcept
        : ms_(detail::millis(time.time_since_epoch(), UINT64_MAX))
    {
        static_assert(Clock::is_steady, "a clock that can be set, such as system_clock, shortens or stretches a close");
    }
    constexpr operator std::uint64_t() const noexcept { return ms_; }

private:
    std::uint64_t ms_;
};

/* Handles */

namespace detail {

/// Owns one C object.
template <class T, void (*Free)(T *)>
class owner {
public:
    explicit operator bool() const noexcept { return raw_ != nullptr; }
    /// For C functions; it stays owned. NULL when empty.
    T *get() const noexcept { return raw_.get(); }

protected:
    /// What a _new function stores; `code` is what it returns.
    template <class Handle, class New, class... Args>
    static Handle make(int *code, New *new_, const Args &...args) noexcept
    {
        Handle handle;
        T *raw = nullptr;
        const int result = new_(args..., &raw);
        handle.raw_.reset(raw);
        if (code != nullptr)
            *code = result;
        return handle;
    }

private:
    struct freer {
        void operator()(T *raw) const noexcept { Free(raw); }
    };
    std::unique_ptr<T, freer> raw_;
};

} // namespace detail

/// Stops closes from another thread.
class canceller : public detail::owner<xmpp_close_canceller, xmpp_close_canceller_free> {
public:
    /// Here and below, `code` is where to store XMPP_CLOSE_OK, or why the handle is empty.
    XMPP_CLOSE_HPP_NODISCARD static canceller create(int *code = nullptr) noexcept { return make<canceller>(code, xmpp_close_canceller_new); }
    int cancel() const noexcept { return xmpp_close_canceller_cancel(get()); }
};

/* Options */

/// xmpp_close_options.
struct options {
    time_limit total_ms{};
    time_limit no_progress_ms{};
    time_limit linger_ms{};
    bool half_close = false;
    bool peer_closed = false;
    std::uint32_t tls = 0; ///< for stream::engine() only
    std::string closing_tag{};
    std::string farewell{};
    std::string residual{};
    std::function<int(const char *xml, size_t len)> on_stanza{};
    std::function<int(const char *data, size_t len)> on_data{};
    /// Not owned. An empty canceller is XMPP_CLOSE_ERR_INVALID, since it could not stop the close.
    const xmpp_close::canceller *canceller = nullptr;
    std::string stream_error{};
    std::string stream_error_text{};
    std::string stream_error_element{};
    size_t stanza_limit = 0;
    std::function<int(char *buf, size_t len, size_t &n)> on_farewell{};
    bool detach = false;
    bool tag_sent = false;
    time_limit answer_ms{};
    std::string stream_error_address{};
    std::string peer_header{};
    std::string header{};
    size_t output_limit = 0;
    bool own_parser = false; ///< for stream::engine() only
    std::function<void(xmpp_close::phase phase, const char *line)> on_log{};
    std::uint32_t parsed = 0; ///< what on_data would return now
};

/// xmpp_close_error.
struct error {
    std::string condition{};
    std::string text{};
    std::string address{};
    std::string element{};
};

/// xmpp_close_batch_options.
struct batch_options {
    time_limit total_ms{};
    time_limit spread_ms{};
    const xmpp_close::canceller *canceller = nullptr; ///< as in options
    std::string stream_error{};
    std::string stream_error_text{};
    std::function<int(const summary &so_far)> on_progress{};
    /// Gets the index that add() returned: keep a map from it to your connection. Called in turn() and run(), never in add().
    /// It may destroy the stream and close the descriptor.
    std::function<void(size_t index, const report &ended)> on_end{};
    std::string stream_error_address{};
};

/// xmpp_close_transport: each callable makes one attempt.
struct transport {
    std::function<int(char *buf, size_t len, size_t &n)> read{};
    std::function<int(const char *buf, size_t len, size_t &n)> write{};
    std::function<int()> notify{}; ///< empty, over TLS: the TLS layer sends close_notify by itself
    std::function<int()> shut{};   ///< empty: shutdown(fd, SHUT_WR)
    xmpp_close_socket fd = XMPP_CLOSE_NO_SOCKET;
    bool tls = false;
    std::function<int(size_t &pending)> flush{}; ///< empty: the kernel has what was written

    /// Over an object with the functions read, write, notify and shut. It is not owned.
    template <class T>
    static transport over(T &object, xmpp_close_socket fd, bool tls)
    {
        transport made;
        made.read = [&object](char *buf, size_t len, size_t &n) { return object.read(buf, len, n); };
        made.write = [&object](const char *buf, size_t len, size_t &n) { return object.write(buf, len, n); };
        made.notify = [&object] { return object.notify(); };
        made.shut = [&object] { return object.shut(); };
        made.fd = fd;
        made.tls = tls;
        return made;
    }
};

/* The way to C and back */

namespace detail {

inline char *chars(uint8_t *bytes) noexcept { return reinterpret_cast<char *>(bytes); }
inline const char *chars(const uint8_t *bytes) noexcept { return reinterpret_cast<const char *>(bytes); }
inline const char *text(const std::string &words) noexcept { return words.empty() ? nullptr : words.c_str(); }

template <class Struct>
void set_canceller(Struct &c, const canceller *canceller) noexcept
{
    c.canceller = canceller != nullptr ? canceller->get() : nullptr;
    if (canceller != nullptr && c.canceller == nullptr)
        c.struct_size = 0; // C refuses this
}

/// Catches exceptions: none may cross the C functions.
class boundary {
public:
    bool *any = nullptr; ///< set when something is caught, by any of several boundaries

    /// Returns what `callable` returns. Once a callable has thrown, returns `stop`.
    template <class Callable, class... Args>
    int call(int stop, const Callable &callable, Args &&...args) noexcept
    {
#if XMPP_CLOSE_HPP_EXCEPTIONS
        if (stopped_)
            return stop;
        try {
            return callable(std::forward<Args>(args)...);
        } catch (...) {
            thrown_ = std::current_exception();
            stopped_ = true;
            if (any != nullptr)
                *any = true;
            return stop;
        }
#else
        (void)stop;
        return callable(std::forward<Args>(args)...);
#endif
    }

#if XMPP_CLOSE_HPP_EXCEPTIONS
    bool has_thrown() const noexcept { return stopped_; }
    /// Throws on what was caught, once.
    void rethrow()
    {
        if (thrown_)
            std::rethrow_exception(take());
    }

private:
    std::exception_ptr take() noexcept
    {
        std::exception_ptr taken;
        taken.swap(thrown_);
        return taken;
    }

    std::exception_ptr thrown_;
    bool stopped_ = false;
#else
    bool has_thrown() const noexcept { return false; }
    void rethrow() noexcept {}
#endif
};

struct members;

/// The userdata of a stream's callbacks in C. Its maker keeps alive what it points to.
struct callables : boundary {
    const options *with;
    const transport *over;
    members *batch = nullptr;
    boundary ended; // for on_end, which is called even when another callable has thrown

    explicit callables(const options &with_, const transport *over_ = nullptr) noexcept : with(&with_), over(over_) {}
    static callables &of(void *userdata) noexcept { return *static_cast<callables *>(userdata); }

    xmpp_close_options c_options() noexcept
    {
        xmpp_close_options c = XMPP_CLOSE_OPTIONS_INIT;
        c.total_ms = with->total_ms;
        c.no_progress_ms = with->no_progress_ms;
        c.linger_ms = with->linger_ms;
        c.half_close = with->half_close;
        c.peer_closed = with->peer_closed;
        c.tls = with->tls;
        c.closing_tag = text(with->closing_tag);
        c.farewell = with->farewell.data();
        c.farewell_len = with->farewell.size();
        c.residual = with->residual.data();
        c.residual_len = with->residual.size();
        if (with->on_stanza)
            c.on_stanza = [](void *userdata, const uint8_t *xml, size_t len) {
                return of(userdata).call(-1, of(userdata).with->on_stanza, chars(xml), len);
            };
        if (with->on_data)
            c.on_data = [](void *userdata, const uint8_t *data, size_t len) {
                return of(userdata).call(-1, of(userdata).with->on_data, chars(data), len);
            };
        c.userdata = this;
        set_canceller(c, with->canceller);
        c.stream_error = text(with->stream_error);
        c.stream_error_text = text(with->stream_error_text);
        c.stream_error_element = text(with->stream_error_element);
        c.stanza_limit = with->stanza_limit;
        if (with->on_farewell)
            c.on_farewell = [](void *userdata, uint8_t *buf, size_t len, size_t *n) {
                return of(userdata).call(-1, of(userdata).with->on_farewell, chars(buf), len, *n);
            };
        c.detach = with->detach;
        c.tag_sent = with->tag_sent;
        c.answer_ms = with->answer_ms;
        c.stream_error_address = text(with->stream_error_address);
        c.peer_header = with->peer_header.data();
        c.peer_header_len = with->peer_header.size();
        c.header = with->header.data();
        c.header_len = with->header.size();
        c.output_limit = with->output_limit;
        c.own_parser = with->own_parser;
        c.parsed = with->parsed;
        if (with->on_log)
            c.on_log = [](void *userdata, int phase, const char *line) {
                const auto tell = [&]() { return of(userdata).with->on_log(xmpp_close::phase(phase), line), 0; };
                (void)of(userdata).call(0, tell);
            };
        return c;
    }

    /// When a callable has thrown, all return ECANCELED, so that the close is over at once.
    xmpp_close_transport c_transport() noexcept
    {
        xmpp_close_transport c = XMPP_CLOSE_TRANSPORT_INIT;
        c.userdata = this;
        if (over->read)
            c.read = [](void *userdata, uint8_t *buf, size_t len, size_t *n) {
                return of(userdata).call(ECANCELED, of(userdata).over->read, chars(buf), len, *n);
            };
        if (over->write)
            c.write = [](void *userdata, const uint8_t *buf, size_t len, size_t *n) {
                return of(userdata).call(ECANCELED, of(userdata).over->write, chars(buf), len, *n);
            };
        if (over->notify)
            c.notify = [](void *userdata) { return of(userdata).call(ECANCELED, of(userdata).over->notify); };
        if (over->shut)
            c.shut = [](void *userdata) { return of(userdata).call(ECANCELED, of(userdata).over->shut); };
        if (over->flush)
            c.flush = [](void *userdata, size_t *pending) {
                return of(userdata).call(ECANCELED, of(userdata).over->flush, *pending);
            };
        c.fd = over->fd;
        c.tls = over->tls;
        return c;
    }
};

/// What a stream's callbacks need as long as the stream lives.
struct kept {
    transport over;
    options with;
    callables calls;
    bool is_lent = false; // in a batch, and the program has the handle
    kept(transport &&over_, options &&with_) noexcept
        : over(std::move(over_)), with(std::move(with_)), calls(with, &over)
    {
    }
    /// Frees bytes of which C has copies.
    void forget_bytes() noexcept
    {
        for (std::string *bytes : { &with.farewell, &with.residual, &with.header, &with.peer_header })
            *bytes = std::string();
    }
};

} // namespace detail

/* One call */

/// What a close came to.
struct result {
    int code; ///< XMPP_CLOSE_OK, or a negative xmpp_close_result
    xmpp_close::report report;

    /// Whether the library could do its work. How the stream ended is report.outcome.
    explicit operator bool() const noexcept { return code == XMPP_CLOSE_OK; }
    const char *strerror() const noexcept { return xmpp_close_strerror(code); }
    const char *outcome_name() const noexcept { return xmpp_close_outcome_name(report.outcome); }
};

// Options have no default argument, or close(fd) could mean close(2). For all defaults, call close(fd, {}).

/// xmpp_close_fd(). Throws what a callable threw, and nothing else.
inline result close(xmpp_close_socket fd, const options &with)
{
    result made = { XMPP_CLOSE_OK, {} };
    detail::callables calls(with);
    const xmpp_close_options c = calls.c_options();
    made.code = xmpp_close_fd(fd, &c, &made.report);
    calls.rethrow();
    return made;
}

/// xmpp_close_with(). Throws what a callable threw, and nothing else.
inline result close(const transport &over, const options &with)
{
    result made = { XMPP_CLOSE_OK, {} };
    detail::callables calls(with, &over);
    const xmpp_close_options c = calls.c_options();
    const xmpp_close_transport c_over = calls.c_transport();
    made.code = xmpp_close_with(&c_over, &c, &made.report);
    calls.rethrow();
    return made;
}

/* One stream, for event loops */

/// Bytes, not owned.
struct bytes {
    const char *first;
    std::size_t count;

    const char *data() const noexcept { return first; }
    std::size_t size() const noexcept { return count; }
    bool empty() const noexcept { return count == 0; }
};

/// xmpp_close_stream. An empty one is an open stream of which the library holds nothing. For an engine, `now` is a moment of
/// your clock. A started stream has a clock of its own, and needs no `now`. A callable may destroy the stream that it belongs
/// to.
class stream : public detail::owner<xmpp_close_stream, xmpp_close_free> {
public:
    /// xmpp_close_new(): bytes in, bytes out, your clock; no I/O, and no callables but on_log.
    XMPP_CLOSE_HPP_NODISCARD static stream engine(const options &with, moment now, int *code = nullptr)
    {
        if (with.on_log) {
            const std::shared_ptr<detail::kept> kept = keep({}, options(with));
            const xmpp_close_options c = kept->calls.c_options();
            return made(make<stream>(code, xmpp_close_new, &c, std::uint64_t(now)), kept);
        }
        xmpp_close_options c = detail::callables(with).c_options();
        c.userdata = nullptr; // an engine has no callbacks
        return make<stream>(code, xmpp_close_new, &c, std::uint64_t(now));
    }
    /// xmpp_close_start(): the library reads and writes. Call step() when the descriptor is ready, and at timeout().
    XMPP_CLOSE_HPP_NODISCARD static stream start(xmpp_close_socket fd, options with, int *code = nullptr)
    {
        const std::shared_ptr<detail::kept> kept = keep({}, std::move(with));
        const xmpp_close_options c = kept->calls.c_options();
        return made(make<stream>(code, xmpp_close_start, fd, &c), kept);
    }
    /// xmpp_close_start_with().
    XMPP_CLOSE_HPP_NODISCARD static stream start(transport over, options with, int *code = nullptr)
    {
        const std::shared_ptr<detail::kept> kept = keep(std::move(over), std::move(with));
        const xmpp_close_options c = kept->calls.c_options();
        const xmpp_close_transport c_over = kept->calls.c_transport();
        return made(make<stream>(code, xmpp_close_start_with, &c_over, &c), kept);
    }

    XMPP_CLOSE_HPP_NODISCARD xmpp_close::sent send(const char *data, std::size_t len) noexcept
    {
        return xmpp_close::sent(xmpp_close_send(get(), data, len));
    }
    XMPP_CLOSE_HPP_NODISCARD xmpp_close::sent send(const std::string &xml) noexcept
    {
        return send(xml.data(), xml.size());
    }
    /// Says that all is said: our tag is due.
    int finish(moment now = {}) noexcept { return xmpp_close_finish(get(), nullptr, now); }
    /// Says that all is said, with a stream error in front of our tag. An error whose condition is not in RFC 6120 is
    /// XMPP_CLOSE_ERR_INVALID, and nothing has begun.
    XMPP_CLOSE_HPP_NODISCARD int finish(const error &why, moment now = {}) noexcept
    {
        const xmpp_close_error c = words(why);
        return xmpp_close_finish(get(), &c, now);
    }
    int detach(moment now = {}) noexcept { return xmpp_close_detach(get(), now); }
    int tell(fact what, std::uint64_t detail = 0, moment now = {}) noexcept
    {
        return xmpp_close_tell(get(), static_cast<xmpp_close_fact>(what), detail, now);
    }
    int cancel(moment now = {}) noexcept { return tell(fact::cancel, 0, now); }
    /// Says that your parser saw the peer's stream error.
    int peer_error(const error &why, moment now = {}) noexcept
    {
        const xmpp_close_error c = words(why);
        return xmpp_close_peer_error(get(), &c, now);
    }
    /// Says that your parser saw a stream error that you cannot name.
    int peer_error(moment now = {}) noexcept { return xmpp_close_peer_error(get(), nullptr, now); }

    /// The next bytes to write, valid until the next call that changes the stream.
    XMPP_CLOSE_HPP_NODISCARD bytes output() noexcept
    {
        const std::uint8_t *first = nullptr;
        const std::size_t count = xmpp_close_output(get(), &first);
        return { detail::chars(first), count };
    }
    int wrote(std::size_t taken, std::size_t pending, moment now) noexcept
    {
        return xmpp_close_wrote(get(), taken, pending, now);
    }
    /// Says that n bytes came. Returns whether they are for the parser.
    XMPP_CLOSE_HPP_NODISCARD bool received(std::size_t n, moment now) noexcept
    {
        return xmpp_close_received(get(), n, now) == 1;
    }
    /// xmpp_close_input(), once: moves data and len behind what it took.
    XMPP_CLOSE_HPP_NODISCARD frame input(const char *&data, std::size_t &len, moment now, const char *&xml, std::size_t &xml_len) noexcept
    {
        const std::uint8_t *at = reinterpret_cast<const std::uint8_t *>(data), *found = nullptr;
        const frame kind = frame(xmpp_close_input(get(), &at, &len, now, &found, &xml_len));
        data = detail::chars(at);
        xml = detail::chars(found);
        return kind;
    }
    /// xmpp_close_input(), for all of data: calls found(frame, xml, xml_len) for each frame, also for the end and for
    /// malformed. Returns the last frame.
    template <class Found>
    frame feed(const char *data, std::size_t len, moment now, Found &&found)
    {
        const char *xml = nullptr;
        std::size_t xml_len = 0;
        for (;;) {
            const frame kind = input(data, len, now, xml, xml_len);
            if (kind > frame::more)
                found(kind, xml, xml_len);
            if (kind <= frame::more || kind >= frame::end)
                return kind;
        }
    }

    XMPP_CLOSE_HPP_NODISCARD xmpp_close::wants wants() const noexcept
    {
        return xmpp_close::wants(xmpp_close_wants(get()));
    }
    /// Milliseconds as poll(2) takes them: 0 now, -1 never.
    XMPP_CLOSE_HPP_NODISCARD int timeout(moment now = {}) const noexcept { return xmpp_close_timeout(get(), now); }
    xmpp_close::wants tick(moment now) noexcept { return xmpp_close::wants(xmpp_close_tick(get(), now)); }
    /// Throws what a callable threw, and nothing else. In a callable of the stream it does nothing.
    xmpp_close::wants step()
    {
        const std::shared_ptr<detail::kept> kept = kept_; // a callable may destroy this
        const xmpp_close::wants now(xmpp_close_step(get()));
        if (kept)
            kept->calls.rethrow();
        return now;
    }
    XMPP_CLOSE_HPP_NODISCARD xmpp_close::report report() const noexcept
    {
        xmpp_close::report made;
        (void)xmpp_close_get_report(get(), &made);
        return made;
    }

private:
    friend class batch;

    static std::shared_ptr<detail::kept> keep(transport &&over, options &&with)
    {
        return std::make_shared<detail::kept>(std::move(over), std::move(with));
    }
    static stream made(stream &&handle, const std::shared_ptr<detail::kept> &kept) noexcept
    {
        kept->forget_bytes();
        handle.kept_ = kept;
        return std::move(handle);
    }
    static xmpp_close_error words(const error &why) noexcept
    {
        xmpp_close_error c = XMPP_CLOSE_ERROR_INIT;
        c.condition = detail::text(why.condition);
        c.text = detail::text(why.text);
        c.address = detail::text(why.address);
        c.element = detail::text(why.element);
        return c;
    }

    std::shared_ptr<detail::kept> kept_;
};

/* Thousands of streams in one thread */

/// What a batch came to.
struct batch_result {
    int code; ///< XMPP_CLOSE_OK, or a negative xmpp_close_result
    xmpp_close::summary summary;

    explicit operator bool() const noexcept { return code == XMPP_CLOSE_OK; }
    const char *strerror() const noexcept { return xmpp_close_strerror(code); }
};

namespace detail {

/// The userdata of on_progress in C, and what the streams of a batch need.
struct members : boundary {
    std::map<std::size_t, std::shared_ptr<kept>> streams;
    batch_options own;                   // what set() was given
    const batch_options *with = nullptr; // what holds now: `own`, or what run() was given
    bool is_inside = false;              // a turn is running
    bool has_caught = false;             // a callable of the batch has thrown

    xmpp_close_batch_options c_options(const batch_options &given) noexcept
    {
        xmpp_close_batch_options c = XMPP_CLOSE_BATCH_OPTIONS_INIT;
        c.total_ms = given.total_ms;
        c.spread_ms = given.spread_ms;
        set_canceller(c, given.canceller);
        c.stream_error = text(given.stream_error);
        c.stream_error_text = text(given.stream_error_text);
        c.stream_error_address = text(given.stream_error_address);
        if (given.on_progress)
            c.on_progress = [](void *userdata, const xmpp_close_summary *so_far) {
                members &mine = *static_cast<members *>(userdata);
                return mine.call(-1, mine.with->on_progress, *so_far);
            };
        if (given.on_end)
            c.on_end = [](void *userdata, std::size_t index, const xmpp_close_report *report) {
                callables &calls = callables::of(userdata);
                members &batch = *calls.batch;
                const auto tell = [&] { return batch.with->on_end(index, xmpp_close::report(*report)), 0; };
                (void)calls.ended.call(0, tell);
                if (!calls.has_thrown() && !calls.ended.has_thrown())
                    batch.forget(index);
            };
        c.userdata = this;
        return c;
    }
    /// Takes a stream out. If the program keeps its handle, that forgets the batch.
    void forget(std::size_t index)
    {
        const auto at = streams.find(index);
        if (at == streams.end())
            return;
        at->second->calls.any = at->second->calls.ended.any = nullptr;
        at->second->is_lent = false;
        streams.erase(at);
    }
    members() = default;
    members(const members &) = delete;
    members &operator=(const members &) = delete;
    ~members()
    {
        while (!streams.empty())
            forget(streams.begin()->first);
    }
    /// Throws on one exception: of on_progress, or of the stream with the lowest index.
    void rethrow_first()
    {
        rethrow();
        for (const auto &each : streams) {
            if (!has_caught)
                return;
            each.second->calls.rethrow();
            each.second->calls.ended.rethrow();
        }
        has_caught = false; // all have been thrown
    }
};

} // namespace detail

/// xmpp_close_batch. It keeps the callables and transports of a stream until the stream has ended and on_end was called;
/// without on_end, as long as the batch lives. Its callables may add streams to it, but may not destroy or move it.
class batch : public detail::owner<xmpp_close_batch, xmpp_close_batch_free> {
public:
    XMPP_CLOSE_HPP_NODISCARD static batch create(int *code = nullptr)
    {
        batch made = make<batch>(code, xmpp_close_batch_new);
        made.members_.reset(new detail::members);
        return made;
    }

    XMPP_CLOSE_HPP_NODISCARD int add(xmpp_close_socket fd, options with, std::size_t *index = nullptr)
    {
        const std::shared_ptr<detail::kept> kept = stream::keep({}, std::move(with));
        const xmpp_close_options c = kept->calls.c_options();
        std::size_t at = 0;
        const int code = xmpp_close_batch_add(get(), fd, &c, &at);
        return added(code, kept, at, index);
    }
    /// xmpp_close_batch_add_with().
    XMPP_CLOSE_HPP_NODISCARD int add(transport over, options with, std::size_t *index = nullptr)
    {
        const std::shared_ptr<detail::kept> kept = stream::keep(std::move(over), std::move(with));
        const xmpp_close_options c = kept->calls.c_options();
        const xmpp_close_transport c_over = kept->calls.c_transport();
        std::size_t at = 0;
        const int code = xmpp_close_batch_add_with(get(), &c_over, &c, &at);
        return added(code, kept, at, index);
    }

    /// xmpp_close_batch_add_stream(). The stream stays yours, but its step() does nothing until it is out of the batch.
    XMPP_CLOSE_HPP_NODISCARD int add(stream &started, std::size_t *index = nullptr)
    {
        std::size_t at = 0;
        const std::shared_ptr<detail::kept> kept = started.kept_;
        const int code = xmpp_close_batch_add_stream(get(), started.get(), &at);
        if (code == XMPP_CLOSE_OK)
            kept->is_lent = true;
        return added(code, kept, at, index);
    }
    /// Takes a stream out before its end, and returns it. For a stream that was added as a stream, what is returned is empty:
    /// you have its handle already.
    stream remove(std::size_t index, int *code = nullptr)
    {
        const std::shared_ptr<detail::kept> kept = members_ && members_->streams.count(index) ? members_->streams[index] : nullptr;
        stream taken;
        if (kept && kept->is_lent) {
            xmpp_close_stream *same = nullptr;
            const int result = xmpp_close_batch_remove(get(), index, &same);
            if (code != nullptr)
                *code = result;
        } else {
            taken = stream::make<stream>(code, xmpp_close_batch_remove, get(), index);
            taken.kept_ = kept;
        }
        if (kept)
            members_->forget(index);
        return taken;
    }

    /// Sets what holds from now on. What the callables capture must live as long as the batch, or until the next set().
    int set(const batch_options &given)
    {
        if (members_ == nullptr || members_->is_inside)
            return xmpp_close_batch_set(get(), nullptr);
        const xmpp_close_batch_options c = members_->c_options(given);
        const int code = xmpp_close_batch_set(get(), &c);
        if (code == XMPP_CLOSE_OK) {
            members_->own = given;
            members_->with = &members_->own;
        }
        return code;
    }
    /// The descriptor to watch with poll, epoll or the like. Never read it.
    xmpp_close_socket fd() const noexcept { return xmpp_close_batch_fd(get()); }
    /// Milliseconds as poll(2) takes them: 0 now, -1 never.
    XMPP_CLOSE_HPP_NODISCARD int timeout() const noexcept { return xmpp_close_batch_timeout(get()); }
    /// Returns how many streams are left, or a negative xmpp_close_result. Throws one exception of a callable at a time.
    int turn(int wait_ms = 0)
    {
        if (members_ == nullptr || members_->is_inside)
            return xmpp_close_batch_turn(get(), wait_ms);
        members_->is_inside = true;
        const int left = xmpp_close_batch_turn(get(), wait_ms);
        members_->is_inside = false;
        members_->rethrow_first();
        return left;
    }

    /// When all streams have ended, throws one exception: of on_progress, or of the stream with the lowest index.
    batch_result run(const batch_options &with)
    {
        batch_result made = { XMPP_CLOSE_OK, XMPP_CLOSE_SUMMARY_INIT };
        if (members_ == nullptr || members_->is_inside) {
            made.code = xmpp_close_batch_run(get(), nullptr, &made.summary);
            return made;
        }
        const batch_options *const before = members_->with;
        const xmpp_close_batch_options c = members_->c_options(with);
        members_->with = &with;
        members_->is_inside = true;
        made.code = xmpp_close_batch_run(get(), &c, &made.summary);
        members_->is_inside = false;
        members_->with = made.code == XMPP_CLOSE_OK ? nullptr : before;
        members_->rethrow_first();
        return made;
    }

    /// The outcome is XMPP_CLOSE_PENDING while the stream is in the batch, and for an unknown index.
    xmpp_close::report report(std::size_t index) const noexcept
    {
        xmpp_close::report made;
        (void)xmpp_close_batch_report(get(), index, &made);
        return made;
    }

private:
    int added(int code, const std::shared_ptr<detail::kept> &kept, std::size_t at, std::size_t *index)
    {
        if (code != XMPP_CLOSE_OK)
            return code;
        kept->forget_bytes();
        kept->calls.batch = members_.get();
        kept->calls.any = kept->calls.ended.any = &members_->has_caught;
        members_->streams[at] = kept;
        if (index != nullptr)
            *index = at;
        return code;
    }

    std::unique_ptr<detail::members> members_;
};

/* The framing by itself */

/// xmpp_close_framer.
class framer : public detail::owner<xmpp_close_framer, xmpp_close_framer_free> {
public:
    XMPP_CLOSE_HPP_NODISCARD static framer create(size_t stanza_limit = 0, int *code = nullptr) noexcept
    {
        return make<framer>(code, xmpp_close_framer_new, stanza_limit);
    }
    XMPP_CLOSE_HPP_NODISCARD static framer create_inside(const char *root, size_t stanza_limit = 0, int *code = nullptr) noexcept
    {
        return make<framer>(code, xmpp_close_framer_new_inside, root, stanza_limit);
    }

    /// xmpp_close_framer_next(), once: moves data and len behind what it took.
    frame next(const char *&data, size_t &len, const char *&xml, size_t &xml_len) noexcept
    {
        size_t consumed = 0;
        const uint8_t *found = nullptr;
        const frame kind = frame(xmpp_close_framer_next(get(), data, len, &consumed, &found, &xml_len));
        xml = detail::chars(found);
        data += consumed;
        len -= consumed;
        return kind;
    }

    /// xmpp_close_framer_next(), for all of data: calls found(frame, xml, xml_len) for each frame, also for the end and for
    /// malformed. Returns the last frame, which is `more` if the stream goes on. What follows the end is not looked at.
    template <class Found>
    frame feed(const char *data, size_t len, Found &&found)
    {
        const char *xml = nullptr;
        size_t xml_len = 0;
        for (;;) {
            const frame kind = next(data, len, xml, xml_len);
            if (kind > frame::more)
                found(kind, xml, xml_len);
            if (kind <= frame::more || kind >= frame::end)
                return kind;
        }
    }

    int restart() noexcept { return xmpp_close_framer_restart(get()); }
    bool between_stanzas() const noexcept { return xmpp_close_framer_between_stanzas(get()) == 1; }
};

} // namespace XMPP_CLOSE_HPP_ABI
} // namespace xmpp_close

#endif // XMPP_CLOSE_HPP
