// xmpp_close.hpp: closes with callables and transports, and handles that own.
#include "channel.h"
#include "check.h"
#include "hpp.h"
#include "peer.h"

#include <chrono>
#include <cstring>
#include <memory>
#include <type_traits>
#include <unistd.h>

namespace {

const step answer[] = {
    { READ_TAG, nullptr, 0 }, { SEND, "<a/><b>c</b>" TAG, 0 }, { READ_END, nullptr, 0 }, { END, nullptr, 0 }
};
const step silent[] = { { HOLD, nullptr, 0 } };

// Overload resolution shows here what must not compile.
template <class Handle>
constexpr bool is_moved_only()
{
    return !std::is_copy_constructible<Handle>::value && !std::is_copy_assignable<Handle>::value &&
           std::is_nothrow_move_constructible<Handle>::value && std::is_nothrow_move_assignable<Handle>::value &&
           std::is_nothrow_default_constructible<Handle>::value && !std::is_convertible<Handle, bool>::value;
}
static_assert(is_moved_only<xmpp_close::canceller>(), "canceller");
static_assert(is_moved_only<xmpp_close::framer>(), "framer");
static_assert(is_moved_only<xmpp_close::stream>(), "stream");
static_assert(sizeof(xmpp_close::framer) == sizeof(void *), "nothing but the handle of C");
static_assert(!std::is_convertible<xmpp_close::result, bool>::value, "if (int n = close()) would be a mistake");
static_assert(std::is_copy_constructible<xmpp_close::options>::value, "options are values");
static_assert(std::is_nothrow_move_constructible<xmpp_close::options>::value, "options move");
static_assert(std::is_nothrow_move_constructible<xmpp_close::transport>::value, "transports move");
static_assert(std::is_base_of<xmpp_close_report, xmpp_close::report>::value &&
                  sizeof(xmpp_close::report) == sizeof(xmpp_close_report), "a report is that of C");
static_assert(noexcept(xmpp_close::report()) && std::is_nothrow_copy_constructible<xmpp_close::report>::value, "plain");
static_assert(!std::is_convertible<xmpp_close::outcome, int>::value, "an outcome is no number");

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
static_assert(xmpp_close::time_limit() == 0u, "the default");
static_assert(xmpp_close::time_limit(seconds(3)) == 3000u, "in milliseconds");
static_assert(xmpp_close::time_limit(microseconds(1500)) == 2u, "rounded up");
static_assert(xmpp_close::time_limit(seconds(0)) == 1u, "not the default");
static_assert(xmpp_close::time_limit(hours(-1)) == 1u, "nor its opposite");
static_assert(xmpp_close::time_limit(milliseconds(4294967296LL)) == UINT32_MAX, "the longest");
static_assert(xmpp_close::time_limit(hours::max()) == UINT32_MAX, "the longest");
static_assert(xmpp_close::time_limit(std::chrono::duration<double>(1e300)) == UINT32_MAX, "the longest");
static_assert(xmpp_close::moment(std::chrono::steady_clock::time_point(milliseconds(7))) == 7u, "a moment");
static_assert(xmpp_close::moment(std::chrono::steady_clock::time_point(milliseconds(-7))) == 0u, "no moment before zero");
static_assert(xmpp_close::moment(std::chrono::time_point<std::chrono::steady_clock, hours>::max()) == UINT64_MAX,
              "the last moment");
static_assert(!std::is_convertible<std::chrono::seconds, xmpp_close::moment>::value, "a duration is no moment");

template <class Fd>
constexpr auto closes_without_options(Fd fd) -> decltype(xmpp_close::close(fd), true)
{
    return true;
}
constexpr bool closes_without_options(...) { return false; }
static_assert(!closes_without_options(3), "that is close(2)");

struct late {
    std::vector<std::string> stanzas;
    int operator()(const char *xml, size_t len)
    {
        stanzas.emplace_back(xml, len);
        return 0;
    }
};

TEST(late_stanzas_reach_a_callable)
{
    xmpp_close::options options;
    std::vector<std::string> stanzas;
    options.farewell = "<presence/>";
    options.on_stanza = [&stanzas](const char *xml, size_t len) {
        stanzas.emplace_back(xml, len);
        return 0;
    };
    const closed by_lambda = close_with_peer(answer, options);
    CHECK(bool(by_lambda.result));
    CHECK_INT(by_lambda.result.code, XMPP_CLOSE_OK);
    CHECK_INT(by_lambda.result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(by_lambda.result.report.stanzas, 2);
    CHECK_TEXT(by_lambda.result.outcome_name(), "clean");
    CHECK(by_lambda.result.report.ended() == xmpp_close::outcome::clean);
    CHECK(by_lambda.result.report.begun_by() == xmpp_close::initiator::us);
    CHECK(by_lambda.result.report.limited_by() == xmpp_close::limit::none);
    CHECK(by_lambda.result.report.describe().find("clean") == 0);
    CHECK_TEXT(by_lambda.got.c_str(), "<presence/>" TAG);
    CHECK(stanzas == std::vector<std::string>({ "<a/>", "<b>c</b>" }));

    late object; // by reference, so that nothing is copied
    options.on_stanza = std::ref(object);
    CHECK_INT(close_with_peer(answer, options).result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK(object.stanzas == stanzas);
}

TEST(each_phase_reaches_a_callable)
{
    std::vector<xmpp_close::phase> phases;
    std::string last;
    xmpp_close::options options;
    options.on_log = [&](xmpp_close::phase phase, const char *line) {
        phases.push_back(phase);
        last = line;
    };
    const std::vector<xmpp_close::phase> all = { xmpp_close::phase::begun, xmpp_close::phase::tag_sent,
                                                 xmpp_close::phase::tag_received, xmpp_close::phase::ended };
    CHECK(close_with_peer(answer, options).result.report.describe() == last);
    CHECK(phases == all);
    phases.clear();
    xmpp_close::stream engine = xmpp_close::stream::engine(options, 0);
    CHECK_INT(engine.cancel(), XMPP_CLOSE_OK);
    CHECK(phases == std::vector<xmpp_close::phase>({ xmpp_close::phase::begun, xmpp_close::phase::ended }));
}

TEST(defaults_need_no_words)
{
    peer other;
    peer_start(&other, UNIX, answer, nullptr, nullptr);
    const xmpp_close::result result = xmpp_close::close(other.fd, {});
    CHECK(bool(result));
    CHECK_INT(result.report.stanzas, 2);
    CHECK_INT(result.report.struct_size, sizeof result.report);
    peer_stop(&other);
    CHECK_TEXT(other.got, TAG);
    peer_free(&other);
}

TEST(a_parser_takes_the_bytes)
{
    xmpp_close::options options;
    std::string seen;
    options.residual = "<r/>";
    options.on_data = [&seen](const char *data, size_t len) {
        seen.append(data, len);
        return seen.find(TAG) != std::string::npos ? XMPP_CLOSE_PEER_CLOSED : 0;
    };
    CHECK_INT(close_with_peer(answer, options).result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(seen.c_str(), "<r/><a/><b>c</b>" TAG);
    options.on_stanza = [](const char *, size_t) { return 0; };
    const closed both = close_with_peer(silent, options);
    CHECK(!both.result);
    CHECK_INT(both.result.code, XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(both.result.report.outcome, XMPP_CLOSE_PENDING);
    CHECK_TEXT(both.result.strerror(), xmpp_close_strerror(XMPP_CLOSE_ERR_INVALID));
    CHECK_TEXT(both.got.c_str(), "");
}

// Each member in turn does what the member of that name does in C.
TEST(every_option_reaches_c)
{
    static const step other_root[] = {
        { READ_TAG, "</stream>", 0 }, { SEND, "</stream>", 0 }, { READ_END, nullptr, 0 }, { END, nullptr, 0 }
    };
    static const step stays[] = { { READ_TAG, nullptr, 0 }, { SEND, TAG, 0 }, { HOLD, nullptr, 0 } };
    static const step read_all[] = { { READ_END, nullptr, 0 }, { END, nullptr, 0 } };
    xmpp_close::options options;
    options.total_ms = 300;
    CHECK_INT(close_with_peer(silent, options).result.report.outcome, XMPP_CLOSE_TIMED_OUT);
    options.total_ms = seconds(60);
    options.no_progress_ms = milliseconds(300);
    closed done = close_with_peer(silent, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_TIMED_OUT);
    CHECK(done.result.report.limited_by() == xmpp_close::limit::no_progress); // and not by total_ms
    options.no_progress_ms = 0;
    options.linger_ms = 300;
    CHECK(close_with_peer(stays, options).result.report.elapsed_ms < 2000); // the default

    options = {};
    options.half_close = true; // seen before the peer's tag, which never comes
    done = close_with_peer(read_all, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_PEER_EOF);
    CHECK(done.saw_end);
    options = {};
    options.peer_closed = true;
    done = close_with_peer(read_all, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(done.result.report.initiator, XMPP_CLOSE_INITIATOR_PEER);
    options = {};
    options.closing_tag = "</stream>";
    done = close_with_peer(other_root, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(done.got.c_str(), "</stream>");
    options = {};
    options.stream_error = "system-shutdown";
    options.stream_error_text = "a < b";
    options.stream_error_element = "<why xmlns='urn:x'/>";
    done = close_with_peer(answer, options);
    for (const char *part : { "<system-shutdown ", "a &lt; b", "<why xmlns='urn:x'/>" })
        CHECK(done.got.find(part) != std::string::npos);
    options = {};
    options.residual = "<s:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error>";
    options.peer_header = "<s:stream xmlns:s='http://etherx.jabber.org/streams'>";
    options.total_ms = 300; // this peer says nothing more
    done = close_with_peer(read_all, options);
    CHECK_TEXT(done.result.report.stream_error, "reset");
    options = {};
    options.residual = "<a>" + std::string(10001, 'x') + "</a>";
    options.stanza_limit = 10000;
    CHECK_INT(close_with_peer(answer, options).result.report.oversize, 1);
    options = {};
    options.farewell = "<presence/>";
    options.on_farewell = [](char *buf, size_t len, size_t &n) {
        CHECK_INT(len, 4096);
        n = 10;
        std::memcpy(buf, "<a h='7'/>", n);
        return 0;
    };
    CHECK_TEXT(close_with_peer(answer, options).got.c_str(), "<presence/><a h='7'/>" TAG);
    options.detach = true;
    done = close_with_peer(read_all, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_CANCELLED);
    CHECK_TEXT(done.got.c_str(), "<presence/><a h='7'/>");
    options = {};
    options.farewell = "<presence/></stream:stream>";
    options.tag_sent = true;
    done = close_with_peer(answer, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(done.got.c_str(), "<presence/>" TAG);
    options = {};
    options.farewell = std::string("<a/>\0", 5); // bytes, not text, so the zero is seen, and is no XML
    CHECK_INT(close_with_peer(answer, options).result.code, XMPP_CLOSE_ERR_INVALID);
    options = {};
    options.stream_error = "see-other-host";
    options.stream_error_address = "example.net";
    CHECK(close_with_peer(answer, options).got.find(">example.net</see-other-host>") != std::string::npos);
    options = {};
    options.header = "<stream xmlns='http://etherx.jabber.org/streams'>";
    done = close_with_peer(other_root, options);
    CHECK_INT(done.result.report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(done.got.c_str(), (options.header + "</stream>").c_str());
    options = {};
    options.own_parser = true; // not for a call that reads
    CHECK_INT(close_with_peer(silent, options).result.code, XMPP_CLOSE_ERR_INVALID);
}

struct counted {
    static int copies;
    char large[100]; // too large to be kept without the heap
    counted() : large() {}
    counted(const counted &other) : large()
    {
        std::memcpy(large, other.large, sizeof large);
        copies++;
    }
    int operator()(const char *, size_t) const { return 0; }
};
int counted::copies = 0;

TEST(a_close_copies_no_callable)
{
    xmpp_close::options options;
    options.on_stanza = counted();
    const int before = counted::copies;
    CHECK_INT(close_with_peer(answer, options).result.report.stanzas, 2);
    CHECK_INT(counted::copies, before);
}

TEST(another_thread_cancels)
{
    static const step script[] = { { READ_TAG, nullptr, 0 }, { CALL, nullptr, 0 }, { HOLD, nullptr, 0 } };
    int code = 77;
    xmpp_close::canceller canceller = xmpp_close::canceller::create(&code);
    CHECK_INT(code, XMPP_CLOSE_OK);
    xmpp_close::options options;
    options.canceller = &canceller;
    peer other;
    peer_start(&other, UNIX, script,
               [](void *given) { static_cast<const xmpp_close::canceller *>(given)->cancel(); }, &canceller);
    CHECK_TEXT(xmpp_close::close(other.fd, options).outcome_name(), "cancelled");
    peer_stop(&other);
    peer_free(&other);

    const xmpp_close::canceller moved = std::move(canceller);
    CHECK_INT(close_with_peer(silent, options).result.code, XMPP_CLOSE_ERR_INVALID); // the handle is empty now
    options.canceller = &moved;
    CHECK_TEXT(close_with_peer(silent, options).result.outcome_name(), "cancelled");
}

// A toy TLS session as C++ programs have one.
struct session {
    channel under;
    session(int fd, bool tls) : under()
    {
        xmpp_close_transport unused;
        channel_init(&under, fd, tls, &unused);
    }
    int read(char *buf, size_t len, size_t &n)
    {
        return channel_read(&under, reinterpret_cast<uint8_t *>(buf), len, &n);
    }
    int write(const char *buf, size_t len, size_t &n)
    {
        return channel_write(&under, reinterpret_cast<const uint8_t *>(buf), len, &n);
    }
    int notify() { return channel_notify(&under); }
    int shut() { return channel_shut(&under); }
};

TEST(transports_are_objects_or_callables)
{
    static const step over_tls[] = {
        { READ_TAG, nullptr, 0 }, { SEND, "<a/>" TAG, 0 }, { SEND_ZERO, nullptr, 0 }, { READ_END, nullptr, 0 },
        { END, nullptr, 0 }
    };
    xmpp_close::options options;
    late taken;
    options.on_stanza = std::ref(taken);
    for (const bool tls : { false, true }) {
        peer other;
        peer_start(&other, TCP, tls ? over_tls : answer, nullptr, nullptr);
        session own(other.fd, tls);
        const xmpp_close::result result = xmpp_close::close(xmpp_close::transport::over(own, other.fd, tls), options);
        CHECK_TEXT(result.outcome_name(), "clean");
        CHECK_INT(result.report.tls, tls ? 7 : 0);
        CHECK(own.under.reads > 0 && own.under.writes > 0 && own.under.ends > 0);
        peer_stop(&other);
        peer_free(&other);
    }
    CHECK(taken.stanzas == std::vector<std::string>({ "<a/>", "<b>c</b>", "<a/>" }));

    peer other;
    peer_start(&other, TCP, answer, nullptr, nullptr);
    session own(other.fd, false);
    xmpp_close::transport lambdas;
    CHECK_INT(xmpp_close::close(lambdas, {}).code, XMPP_CLOSE_ERR_NULL);
    lambdas.read = [&own](char *buf, size_t len, size_t &n) { return own.read(buf, len, n); };
    lambdas.write = [&own](const char *buf, size_t len, size_t &n) { return own.write(buf, len, n); };
    CHECK_INT(xmpp_close::close(lambdas, {}).code, XMPP_CLOSE_ERR_INVALID);
    lambdas.fd = other.fd;
    CHECK_TEXT(xmpp_close::close(lambdas, options).outcome_name(), "clean");
    CHECK_INT(own.under.ends, 0);
    peer_stop(&other);
    peer_free(&other);
}

template <class Handle>
void owns_one(Handle first, Handle second)
{
    Handle empty;
    CHECK(!empty && empty.get() == nullptr);
    const auto raw = first.get();
    CHECK(bool(first) && raw != nullptr && second.get() != raw);
    Handle moved(std::move(first));
    CHECK(!first && moved.get() == raw);
    Handle &same = moved; // not seen through by the compiler's warning
    moved = std::move(same);
    CHECK(moved.get() == raw);
    second = std::move(moved); // what the handle had is freed, as ASan and valgrind confirm
    CHECK(!moved && second.get() == raw);
    std::swap(second, empty);
    CHECK(!second && empty.get() == raw);
    empty = Handle();
    CHECK(!empty);
    std::vector<Handle> many(3);
    many.push_back(std::move(empty));
    many.insert(many.begin(), std::move(second));
    CHECK_INT(many.size(), 5);
}

TEST(handles_own_what_they_hold)
{
    owns_one(xmpp_close::canceller::create(), xmpp_close::canceller::create());
    owns_one(xmpp_close::stream::engine({}, 0), xmpp_close::stream::engine({}, 0));
    owns_one(xmpp_close::framer::create(), xmpp_close::framer::create_inside("stream:stream"));
}

TEST(an_empty_handle_says_so)
{
    CHECK_INT(xmpp_close::canceller().cancel(), XMPP_CLOSE_ERR_NULL);
    xmpp_close::stream stream; // an open stream
    CHECK(stream.send("<a/>") == xmpp_close::sent::err_null);
    CHECK_INT(stream.finish(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.finish(xmpp_close::error()), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.detach(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.cancel(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(stream.peer_error(), XMPP_CLOSE_ERR_NULL);
    CHECK(stream.output().empty());
    CHECK_INT(stream.wrote(0, 10, 0), XMPP_CLOSE_OK);
    CHECK(stream.received(10, 0));
    for (const xmpp_close::wants &now : { stream.wants(), stream.tick(0), stream.step() }) {
        CHECK(now.read && now.parse && now.may_send);
        CHECK(!now.write && !now.answer && !now.inside && !now.notify && !now.shut && !now.over);
    }
    CHECK_INT(stream.timeout(0), -1);
    CHECK_INT(stream.report().outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(stream.report().struct_size, sizeof(xmpp_close_report));
    xmpp_close::framer framer;
    const char *data = "<a/>", *xml = data;
    size_t len = 4, xml_len = 0;
    CHECK(framer.next(data, len, xml, xml_len) == xmpp_close::frame::err_null);
    CHECK_INT(len, 4);
    CHECK(xml == nullptr);
    int calls = 0;
    CHECK(framer.feed(data, len, [&](xmpp_close::frame, const char *, size_t) { calls++; }) ==
          xmpp_close::frame::err_null);
    CHECK_INT(calls, 0);
    CHECK_INT(framer.restart(), XMPP_CLOSE_ERR_NULL);
    CHECK(!framer.between_stanzas());

    int code = 77;
    CHECK(!xmpp_close::framer::create_inside("not a name", 0, &code));
    CHECK_INT(code, XMPP_CLOSE_ERR_INVALID);
    xmpp_close::options options;
    const xmpp_close::canceller empty;
    options.canceller = &empty;
    CHECK(!xmpp_close::stream::engine(options, 0, &code));
    CHECK_INT(code, XMPP_CLOSE_ERR_INVALID);
}

// hpp_plain.cc is compiled without exceptions and RTTI, and is part of this program.
TEST(files_without_exceptions_go_together_with_others)
{
    peer other;
    peer_start(&other, UNIX, answer, nullptr, nullptr);
    CHECK_INT(late_stanzas_without_exceptions(other.fd), 2);
    peer_stop(&other);
    peer_free(&other);
    CHECK(run_without_exceptions());
}

} // namespace

closed close_with_peer(const step *script, const xmpp_close::options &options)
{
    struct guard {
        peer other;
        ~guard() { peer_free(&other); }
    } made;
    closed done = { { XMPP_CLOSE_OK, {} }, "", false };
    peer_start(&made.other, TCP, script, nullptr, nullptr);
    try {
        done.result = xmpp_close::close(made.other.fd, options);
    } catch (...) {
        peer_stop(&made.other);
        throw;
    }
    peer_stop(&made.other);
    done.got.assign(made.other.got != nullptr ? made.other.got : "", made.other.got_len);
    done.saw_end = made.other.saw_end != 0;
    return done;
}
