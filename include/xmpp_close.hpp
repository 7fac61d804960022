/* xmpp_close.hpp: what C++11 and later can add to xmpp_close.h. Header-only; link with the same library.
 *
 *    xmpp_close::options options;
 *    options.on_stanza = [&](const char *xml, size_t len) { inbox.emplace_back(xml, len); return 0; };
 *    const xmpp_close::result closed = xmpp_close::close(fd, options);
 *    log(closed ? closed.outcome_name() : closed.strerror());
 *
 * xmpp_close.h says what everything means; names are the same without the prefix, and there is no other behaviour. C
 * functions that need no more than they have, such as xmpp_close_idle_seconds(), have no twin here.
 *
 * - Handles free what they own, and can be moved, not copied. A default-made or moved-from one is empty: it converts
 *   to false, and its functions give XMPP_CLOSE_ERR_NULL. _new is `create`, which gives an empty one on failure.
 * - Options own their strings and callables; an empty one is what NULL is in C. Text ends at its first NUL. What a
 *   callable captures by reference must live until the call that uses it returns: close(), batch::run().
 * - Callables return what the callbacks of C return: 0 goes on. They are in std::function, so must be copyable, and are
 *   on the heap if they capture more than a pointer or two; std::ref() of a callable is neither copied nor allocated.
 * - A call reads its options where they are: nothing is copied or allocated that C does not copy or allocate.
 * - An exception that leaves a callable does not enter C. It stops that stream (XMPP_CLOSE_CANCELLED; from a transport,
 *   XMPP_CLOSE_RESET by ECANCELED), none of whose callables is called again, and is thrown on when the C function has
 *   returned. In a batch the other streams go on, and one exception comes out; reports remain in the batch.
 * - Neither exceptions nor RTTI are needed. A file that is compiled without exceptions has other types than a file
 *   with them, so that a mix of both in one interface fails to link instead of losing the rule above.
 */

#ifndef XMPP_CLOSE_HPP
#define XMPP_CLOSE_HPP

#include "xmpp_close.h"

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#include <exception>
#define XMPP_CLOSE_HPP_EXCEPTIONS 1
#define XMPP_CLOSE_HPP_ABI with_exceptions
#else
#define XMPP_CLOSE_HPP_EXCEPTIONS 0
#define XMPP_CLOSE_HPP_ABI without_exceptions
#endif

namespace xmpp_close {
inline namespace XMPP_CLOSE_HPP_ABI {

/* Words */

/// Plain data, as in C; the numbers in it are XMPP_CLOSE_CLEAN and so on.
using report = ::xmpp_close_report;
using summary = ::xmpp_close_summary;

/// An xmpp_close_action, or a negative xmpp_close_result; see `handshake`.
enum class action : int {
    nothing = XMPP_CLOSE_DO_NOTHING, send_tag = XMPP_CLOSE_DO_SEND_TAG, answer = XMPP_CLOSE_DO_ANSWER,
    end_output = XMPP_CLOSE_DO_END_OUTPUT, teardown = XMPP_CLOSE_DO_TEARDOWN,
    err_null = XMPP_CLOSE_ERR_NULL, err_panic = XMPP_CLOSE_ERR_PANIC
};

/// An xmpp_close_frame, or a negative xmpp_close_result; see `framer`.
enum class frame : int {
    more = XMPP_CLOSE_FRAME_MORE, header = XMPP_CLOSE_FRAME_HEADER, stanza = XMPP_CLOSE_FRAME_STANZA,
    oversize = XMPP_CLOSE_FRAME_OVERSIZE, end = XMPP_CLOSE_FRAME_END, malformed = XMPP_CLOSE_FRAME_MALFORMED,
    err_null = XMPP_CLOSE_ERR_NULL, err_panic = XMPP_CLOSE_ERR_PANIC
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
    /// `code`, here and below: where to store why it is empty, or XMPP_CLOSE_OK.
    static canceller create(int *code = nullptr) noexcept { return make<canceller>(code, xmpp_close_canceller_new); }
    int cancel() const noexcept { return xmpp_close_canceller_cancel(get()); }
};

/* Options */

/// xmpp_close_options.
struct options {
    uint32_t total_ms = 0;
    uint32_t no_progress_ms = 0;
    uint32_t linger_ms = 0;
    bool half_close = false;
    bool peer_closed = false;
    bool tls = false; ///< for `handshake` only
    std::string closing_tag{};
    std::string farewell{};
    std::string residual{};
    std::function<int(const char *xml, size_t len)> on_stanza{};
    std::function<int(const char *data, size_t len)> on_data{};
    /// Not owned. An empty one is refused (XMPP_CLOSE_ERR_INVALID), for nothing could stop that close.
    const xmpp_close::canceller *canceller = nullptr;
    std::string stream_error{};
    std::string stream_error_text{};
    std::string stream_error_element{};
    size_t stanza_limit = 0;
    std::function<int(char *buf, size_t len, size_t &n)> on_farewell{};
    bool detach = false;
    bool tag_sent = false;
    uint32_t answer_ms = 0; ///< for `handshake` only
    std::string stream_error_address{};
    std::string peer_header{};
    std::string header{};
    size_t output_limit = 0;
    bool own_parser = false;
};

/// xmpp_close_batch_options.
struct batch_options {
    uint32_t total_ms = 0;
    uint32_t spread_ms = 0;
    const xmpp_close::canceller *canceller = nullptr; ///< as above
    std::string stream_error{};
    std::string stream_error_text{};
    std::function<int(const summary &so_far)> on_progress{};
    std::function<void(size_t index, const report &ended)> on_end{};
    std::string stream_error_address{};
};

/// xmpp_close_transport: each callable makes one attempt.
struct transport {
    std::function<int(char *buf, size_t len, size_t &n)> read{};
    std::function<int(const char *buf, size_t len, size_t &n)> write{};
    std::function<int()> notify{}; ///< empty over TLS: the TLS layer sends close_notify by itself
    std::function<int()> shut{};   ///< empty: shutdown(fd, SHUT_WR)
    int fd = -1;
    bool tls = false;
    std::function<int(size_t &pending)> flush{}; ///< empty: what was written is with the kernel

    /// Over an object with read, write, notify and shut, which is not owned.
    template <class T>
    static transport over(T &object, int fd, bool tls)
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
        c.struct_size = 0; // which C refuses
}

/// Where exceptions stop: none may cross the C functions.
class boundary {
public:
    /// What `callable` returns; `stop` if it throws, and from then on.
    template <class Callable, class... Args>
    int call(int stop, const Callable &callable, Args &&...args) noexcept
    {
#if XMPP_CLOSE_HPP_EXCEPTIONS
        if (thrown_)
            return stop;
        try {
            return callable(std::forward<Args>(args)...);
        } catch (...) {
            thrown_ = std::current_exception();
            return stop;
        }
#else
        (void)stop;
        return callable(std::forward<Args>(args)...);
#endif
    }

#if XMPP_CLOSE_HPP_EXCEPTIONS
    void rethrow() const
    {
        if (thrown_)
            std::rethrow_exception(thrown_);
    }

private:
    std::exception_ptr thrown_;
#else
    void rethrow() const noexcept {}
#endif
};

/// One stream's way through C: the userdata of its callbacks. Its maker keeps alive what it points to.
struct stream : boundary {
    const options *with;
    const transport *over;
    const batch_options *batch = nullptr;
    boundary ended; // for on_end, which is called after the others have thrown, too

    explicit stream(const options &with_, const transport *over_ = nullptr) noexcept : with(&with_), over(over_) {}
    static stream &of(void *userdata) noexcept { return *static_cast<stream *>(userdata); }

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
        return c;
    }

    /// After ECANCELED from whichever came first, the others say the same, so that the close is over at once.
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

} // namespace detail

/* One call */

/// What a close came to.
struct result {
    int code; ///< XMPP_CLOSE_OK, or a negative xmpp_close_result
    xmpp_close::report report;

    /// Whether the library could do its work; how the stream ended is report.outcome.
    explicit operator bool() const noexcept { return code == XMPP_CLOSE_OK; }
    const char *strerror() const noexcept { return xmpp_close_strerror(code); }
    const char *outcome_name() const noexcept { return xmpp_close_outcome_name(report.outcome); }
};

// Options have no default, or close(fd) could be close(2) as well. For all defaults: close(fd, {}).

/// xmpp_close_fd(). Throws what a callable threw, and nothing else.
inline result close(int fd, const options &with)
{
    result made = { XMPP_CLOSE_OK, XMPP_CLOSE_REPORT_INIT };
    detail::stream stream(with);
    const xmpp_close_options c = stream.c_options();
    made.code = xmpp_close_fd(fd, &c, &made.report);
    stream.rethrow();
    return made;
}

/// xmpp_close_with(). Throws what a callable threw, and nothing else.
inline result close(const transport &over, const options &with)
{
    result made = { XMPP_CLOSE_OK, XMPP_CLOSE_REPORT_INIT };
    detail::stream stream(with, &over);
    const xmpp_close_options c = stream.c_options();
    const xmpp_close_transport c_over = stream.c_transport();
    made.code = xmpp_close_with(&c_over, &c, &made.report);
    stream.rethrow();
    return made;
}

/* Thousands of streams under one deadline */

/// What a batch came to.
struct batch_result {
    int code; ///< XMPP_CLOSE_OK, or a negative xmpp_close_result
    xmpp_close::summary summary;

    explicit operator bool() const noexcept { return code == XMPP_CLOSE_OK; }
    const char *strerror() const noexcept { return xmpp_close_strerror(code); }
};

/// xmpp_close_batch. Keeps the callables and transports of its streams for as long as it lives: so its callables may add
/// to it, but not destroy or move it.
class batch : public detail::owner<xmpp_close_batch, xmpp_close_batch_free> {
public:
    static batch create(int *code = nullptr) noexcept { return make<batch>(code, xmpp_close_batch_new); }

    int add(int fd, options with, size_t *index = nullptr)
    {
        const xmpp_close_options c = keep({}, std::move(with)).c_options();
        return added(xmpp_close_batch_add(get(), fd, &c, index));
    }
    /// xmpp_close_batch_add_with().
    int add(transport over, options with, size_t *index = nullptr)
    {
        detail::stream &stream = keep(std::move(over), std::move(with));
        const xmpp_close_options c = stream.c_options();
        const xmpp_close_transport c_over = stream.c_transport();
        return added(xmpp_close_batch_add_with(get(), &c_over, &c, index));
    }

    /// Once all have ended, throws the first of what on_progress and the callables of the streams, by index, threw.
    batch_result run(const batch_options &with)
    {
        batch_result made = { XMPP_CLOSE_OK, XMPP_CLOSE_SUMMARY_INIT };
        if (running_ != nullptr) { // inside one of its callables, which C refuses
            made.code = xmpp_close_batch_run(get(), nullptr, &made.summary);
            return made;
        }
        struct : detail::boundary {
            const batch_options *with;
        } all;
        all.with = &with;
        running_ = &with;
        for (const auto &each : streams_)
            each->stream.batch = &with;
        xmpp_close_batch_options c = XMPP_CLOSE_BATCH_OPTIONS_INIT;
        c.total_ms = with.total_ms;
        c.spread_ms = with.spread_ms;
        detail::set_canceller(c, with.canceller);
        c.stream_error = detail::text(with.stream_error);
        c.stream_error_text = detail::text(with.stream_error_text);
        c.stream_error_address = detail::text(with.stream_error_address);
        if (with.on_progress)
            c.on_progress = [](void *userdata, const xmpp_close_summary *so_far) {
                decltype(all) &mine = *static_cast<decltype(all) *>(userdata);
                return mine.call(-1, mine.with->on_progress, *so_far);
            };
        if (with.on_end)
            c.on_end = [](void *userdata, size_t index, const xmpp_close_report *report) {
                detail::stream &stream = detail::stream::of(userdata);
                const auto tell = [&] { return stream.batch->on_end(index, *report), 0; };
                (void)stream.ended.call(0, tell);
            };
        c.userdata = &all;
        made.code = xmpp_close_batch_run(get(), &c, &made.summary);
        running_ = nullptr;
        all.rethrow();
        for (const auto &each : streams_) {
            each->stream.rethrow();
            each->stream.ended.rethrow();
        }
        return made;
    }

    /// XMPP_CLOSE_PENDING before run(), and for an index that was not given.
    xmpp_close::report report(size_t index) const noexcept
    {
        xmpp_close_report made = XMPP_CLOSE_REPORT_INIT;
        (void)xmpp_close_batch_report(get(), index, &made);
        return made;
    }

private:
    struct kept {
        transport over;
        options with;
        detail::stream stream;
        kept(transport &&over_, options &&with_) noexcept
            : over(std::move(over_)), with(std::move(with_)), stream(with, &over)
        {
        }
    };

    detail::stream &keep(transport &&over, options &&with)
    {
        streams_.push_back(std::unique_ptr<kept>(new kept(std::move(over), std::move(with))));
        streams_.back()->stream.batch = running_;
        return streams_.back()->stream;
    }
    int added(int code)
    {
        if (code == XMPP_CLOSE_OK) { // C has its own copies
            streams_.back()->with.farewell = std::string();
            streams_.back()->with.residual = std::string();
        } else {
            streams_.pop_back();
        }
        return code;
    }

    std::vector<std::unique_ptr<kept>> streams_;
    const batch_options *running_ = nullptr;
};

/* For event loops */

/// xmpp_close_handshake: tell it what happened, do what it answers. err_null: it is empty; else close the connection.
class handshake : public detail::owner<xmpp_close_handshake, xmpp_close_handshake_free> {
public:
    static handshake create(const options &with, uint64_t now_ms, int *code = nullptr) noexcept
    {
        const xmpp_close_options c = detail::stream(with).c_options();
        return make<handshake>(code, xmpp_close_handshake_new, &c, now_ms);
    }

    action begin(uint64_t now) noexcept { return action(xmpp_close_handshake_begin(get(), now)); }
    action detach(uint64_t now) noexcept { return action(xmpp_close_handshake_detach(get(), now)); }
    action arrived(size_t n, uint64_t now) noexcept { return action(xmpp_close_handshake_arrived(get(), n, now)); }
    action written(size_t n, uint64_t now) noexcept { return action(xmpp_close_handshake_written(get(), n, now)); }
    action flushed(uint64_t now) noexcept { return action(xmpp_close_handshake_flushed(get(), now)); }
    action received(size_t n, uint64_t now) noexcept { return action(xmpp_close_handshake_received(get(), n, now)); }
    action stanza(uint64_t now) noexcept { return action(xmpp_close_handshake_stanza(get(), now)); }
    action oversize(uint64_t now) noexcept { return action(xmpp_close_handshake_oversize(get(), now)); }
    action stream_error(const char *condition, uint64_t now) noexcept
    {
        return action(xmpp_close_handshake_stream_error(get(), condition, now));
    }
    action peer_closed(uint64_t now) noexcept { return action(xmpp_close_handshake_peer_closed(get(), now)); }
    action malformed(uint64_t now) noexcept { return action(xmpp_close_handshake_malformed(get(), now)); }
    action eof(uint64_t now) noexcept { return action(xmpp_close_handshake_eof(get(), now)); }
    action truncated(uint64_t now) noexcept { return action(xmpp_close_handshake_truncated(get(), now)); }
    action close_notify(uint64_t now) noexcept { return action(xmpp_close_handshake_close_notify(get(), now)); }
    action failed(int os_error, uint64_t now) noexcept
    {
        return action(xmpp_close_handshake_failed(get(), os_error, now));
    }
    action output_failed(int os_error, uint64_t now) noexcept
    {
        return action(xmpp_close_handshake_output_failed(get(), os_error, now));
    }
    action tls_failed(uint64_t now) noexcept { return action(xmpp_close_handshake_tls_failed(get(), now)); }
    action cancel(uint64_t now) noexcept { return action(xmpp_close_handshake_cancel(get(), now)); }
    action tick(uint64_t now) noexcept { return action(xmpp_close_handshake_tick(get(), now)); }

    bool may_write() const noexcept { return xmpp_close_handshake_may_write(get()) == 1; }
    bool must_answer() const noexcept { return xmpp_close_handshake_must_answer(get()) == 1; }
    bool expects_stanzas() const noexcept { return xmpp_close_handshake_expects_stanzas(get()) == 1; }
    bool wants_input() const noexcept { return xmpp_close_handshake_wants_input(get()) == 1; }
    uint64_t deadline() const noexcept { return xmpp_close_handshake_deadline(get()); }
    xmpp_close::report report() const noexcept
    {
        xmpp_close_report made = XMPP_CLOSE_REPORT_INIT;
        (void)xmpp_close_handshake_report(get(), &made); // of an empty one: XMPP_CLOSE_PENDING
        return made;
    }
};

/// xmpp_close_framer.
class framer : public detail::owner<xmpp_close_framer, xmpp_close_framer_free> {
public:
    static framer create(size_t stanza_limit = 0, int *code = nullptr) noexcept
    {
        return make<framer>(code, xmpp_close_framer_new, stanza_limit);
    }
    static framer create_inside(const char *root, size_t stanza_limit = 0, int *code = nullptr) noexcept
    {
        return make<framer>(code, xmpp_close_framer_new_inside, root, stanza_limit);
    }

    /// xmpp_close_framer_next(): one step, which moves data and len on by what it took.
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

    /// All steps: calls found(frame, xml, xml_len) for each thing, the end and malformed included. Returns the last
    /// frame: `more` if the stream goes on. What follows the end is not looked at.
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
