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

using std::chrono::milliseconds;
using std::chrono::seconds;

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
