// xmpp_close.hpp for event loops: engines, each of whose functions is the one of C, started streams, and framers.
#include "channel.h"
#include "check.h"
#include "hpp.h"

#include <cerrno>
#include <cstring>
#include <memory>
#include <poll.h>

namespace {

using xmpp_close::fact;
using xmpp_close::frame;
using xmpp_close::sent;

static_assert(int(frame::more) == XMPP_CLOSE_FRAME_MORE && int(frame::malformed) == XMPP_CLOSE_FRAME_MALFORMED, "same");

// What may happen to an engine, in both languages.
struct event {
    const char *name;
    int (*cpp)(xmpp_close::stream &s, uint64_t now);
    int (*c)(xmpp_close_stream *s, uint64_t now);
};

#define FACT(name, NAME, detail)                                                                   \
    {                                                                                              \
        #name, [](xmpp_close::stream &s, uint64_t now) { return s.tell(fact::name, detail, now); }, \
            [](xmpp_close_stream *s, uint64_t now) { return xmpp_close_tell(s, XMPP_CLOSE_FACT_##NAME, detail, now); } \
    }

xmpp_close_error conflict_of_c()
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = "conflict";
    return error;
}

xmpp_close::error conflict()
{
    xmpp_close::error error;
    error.condition = "conflict";
    return error;
}

const event events[] = {
    { "finish", [](xmpp_close::stream &s, uint64_t now) { return s.finish(now); },
      [](xmpp_close_stream *s, uint64_t now) { return xmpp_close_finish(s, nullptr, now); } },
    { "finish with an error", [](xmpp_close::stream &s, uint64_t now) { return s.finish(conflict(), now); },
      [](xmpp_close_stream *s, uint64_t now) {
          const xmpp_close_error error = conflict_of_c();
          return xmpp_close_finish(s, &error, now);
      } },
    { "detach", [](xmpp_close::stream &s, uint64_t now) { return s.detach(now); },
      [](xmpp_close_stream *s, uint64_t now) { return xmpp_close_detach(s, now); } },
    { "send", [](xmpp_close::stream &s, uint64_t) { return int(s.send("<a/>")); },
      [](xmpp_close_stream *s, uint64_t) { return xmpp_close_send(s, "<a/>", 4); } },
    { "wrote", [](xmpp_close::stream &s, uint64_t now) { return s.wrote(s.output().size(), 0, now); },
      [](xmpp_close_stream *s, uint64_t now) {
          return xmpp_close_wrote(s, xmpp_close_output(s, nullptr), 0, now);
      } },
    { "received", [](xmpp_close::stream &s, uint64_t now) { return int(s.received(33, now)); },
      [](xmpp_close_stream *s, uint64_t now) { return xmpp_close_received(s, 33, now); } },
    { "peer_error", [](xmpp_close::stream &s, uint64_t now) { return s.peer_error(conflict(), now); },
      [](xmpp_close_stream *s, uint64_t now) {
          const xmpp_close_error error = conflict_of_c();
          return xmpp_close_peer_error(s, &error, now);
      } },
    { "peer_error without a name", [](xmpp_close::stream &s, uint64_t now) { return s.peer_error(now); },
      [](xmpp_close_stream *s, uint64_t now) { return xmpp_close_peer_error(s, nullptr, now); } },
    { "cancel", [](xmpp_close::stream &s, uint64_t now) { return s.cancel(now); },
      [](xmpp_close_stream *s, uint64_t now) { return xmpp_close_tell(s, XMPP_CLOSE_FACT_CANCEL, 0, now); } },
    { "tick", [](xmpp_close::stream &s, uint64_t now) { return int(s.tick(now).over); },
      [](xmpp_close_stream *s, uint64_t now) { return int((xmpp_close_tick(s, now) & XMPP_CLOSE_OVER) != 0); } },
    FACT(peer_closed, PEER_CLOSED, 3), FACT(malformed, MALFORMED, 0), FACT(paused, PAUSED, 1),
    FACT(restarted, RESTARTED, 1), FACT(header_out, HEADER_OUT, 0), FACT(arrived, ARRIVED, 33), FACT(eof, EOF, 0),
    FACT(eof, EOF, 1), FACT(notified, NOTIFIED, 0), FACT(read_failed, READ_FAILED, ECONNRESET),
    FACT(write_failed, WRITE_FAILED, EPIPE), FACT(tls_failed, TLS_FAILED, 0), FACT(did_notify, DID_NOTIFY, 0),
    FACT(did_shut, DID_SHUT, 0), FACT(stanzas, STANZAS, 2), FACT(oversize, OVERSIZE, 1)
};

uint32_t bits(const xmpp_close::wants &now)
{
    const auto bit = [](bool is_set, xmpp_close_want number) { return is_set ? uint32_t(number) : 0u; };
    return bit(now.read, XMPP_CLOSE_READ) | bit(now.write, XMPP_CLOSE_WRITE) |
           bit(now.may_send, XMPP_CLOSE_MAY_SEND) | bit(now.answer, XMPP_CLOSE_ANSWER) |
           bit(now.parse, XMPP_CLOSE_PARSE) | bit(now.inside, XMPP_CLOSE_INSIDE) |
           bit(now.notify, XMPP_CLOSE_NOTIFY) | bit(now.shut, XMPP_CLOSE_SHUT) | bit(now.over, XMPP_CLOSE_OVER);
}

bool are_same(xmpp_close::stream &cpp, xmpp_close_stream *c, uint64_t now)
{
    const xmpp_close::report report = cpp.report();
    xmpp_close_report expected = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_get_report(c, &expected);
    const uint8_t *bytes = nullptr;
    const size_t count = xmpp_close_output(c, &bytes);
    const xmpp_close::bytes output = cpp.output();
    return std::memcmp(&report, &expected, sizeof report) == 0 && bits(cpp.wants()) == xmpp_close_wants(c) &&
           cpp.timeout(now) == xmpp_close_timeout(c, now) && output.size() == count &&
           (count == 0 || std::memcmp(output.data(), bytes, count) == 0);
}

// Every sequence of three of these.
TEST(every_event_is_that_of_c)
{
    for (const event &first : events)
        for (const event &second : events)
            for (const event &third : events) {
                xmpp_close::options options;
                options.total_ms = 5000;
                options.answer_ms = 2000;
                options.tls = &first != &second; // with and without a time
                options.own_parser = true;
                options.header = "<stream:stream>";
                xmpp_close::stream cpp = xmpp_close::stream::engine(options, 1000);
                xmpp_close_options c_options = XMPP_CLOSE_OPTIONS_INIT;
                c_options.total_ms = 5000;
                c_options.answer_ms = 2000;
                c_options.tls = options.tls;
                c_options.own_parser = 1;
                c_options.header = "<stream:stream>";
                c_options.header_len = 15;
                xmpp_close_stream *c = nullptr;
                CHECK_INT(xmpp_close_new(&c_options, 1000, &c), XMPP_CLOSE_OK);
                uint64_t now = 1000;
                bool same = bool(cpp) && are_same(cpp, c, now);
                for (const event *each : { &first, &second, &third }) {
                    now += 2300; // beyond the deadline in the end
                    same = same && int(each->cpp(cpp, now)) == each->c(c, now) && are_same(cpp, c, now);
                }
                xmpp_close_free(c);
                if (!same) {
                    CHECK_TEXT((std::string(first.name) + ", " + second.name + ", " + third.name).c_str(), "the same");
                    return;
                }
            }
}

TEST(an_engine_from_finish_to_its_end)
{
    xmpp_close::stream stream = xmpp_close::stream::engine({}, 0);
    CHECK(stream.wants().may_send && stream.timeout(0) == -1);
    CHECK(stream.send("<presence/>") == sent::ok);
    CHECK_INT(stream.finish(1), XMPP_CLOSE_OK);
    CHECK(stream.send("<presence/>") == sent::refused);
    CHECK_INT(stream.timeout(11), 29990);
    const xmpp_close::bytes output = stream.output();
    CHECK_BYTES(output.data(), output.size(), "<presence/>" TAG, sizeof "<presence/>" TAG - 1);
    CHECK_INT(stream.wrote(output.size(), 0, 2), XMPP_CLOSE_OK);
    std::string late;
    const char bytes[] = "<a/>" TAG "<never/>";
    CHECK(stream.feed(bytes, sizeof bytes - 1, 3, [&late](frame kind, const char *xml, size_t len) {
        if (kind == frame::stanza)
            late.append(xml, len);
    }) == frame::end);
    CHECK_TEXT(late.c_str(), "<a/>");
    CHECK(stream.wants().shut && !stream.wants().over);
    CHECK_INT(stream.tell(fact::did_shut, 0, 4), XMPP_CLOSE_OK);
    CHECK_INT(stream.tell(fact::eof, 0, 5), XMPP_CLOSE_OK);
    CHECK(stream.wants().over);
    CHECK(stream.report().ended() == xmpp_close::outcome::clean);
    CHECK_INT(stream.report().elapsed_ms, 4);
    CHECK_INT(stream.report().stanzas, 1);
    CHECK_INT(stream.report().refused, 1);
    xmpp_close::options answers;
    answers.peer_closed = true;
    answers.total_ms = std::chrono::milliseconds(700);
    stream = xmpp_close::stream::engine(answers, 10);
    CHECK(stream.wants().answer);
    CHECK_INT(stream.timeout(10), 350);
    answers.answer_ms = 50;
    CHECK_INT(xmpp_close::stream::engine(answers, 10).timeout(10), 50);
    xmpp_close::error unknown;
    unknown.condition = "boredom";
    CHECK_INT(stream.finish(unknown, 11), XMPP_CLOSE_ERR_INVALID);
    CHECK(stream.wants().may_send); // nothing has begun
    CHECK_INT(stream.finish(conflict(), 11), XMPP_CLOSE_OK);
    CHECK(!stream.wants().may_send);
}

const step answer[] = {
    { READ_TAG, nullptr, 0 }, { SEND, "<a/><b>c</b>" TAG, 0 }, { READ_END, nullptr, 0 }, { END, nullptr, 0 }
};

// The other end of a stream.
struct other_end {
    peer other;

    other_end(kind socket, const step *script) { peer_start(&other, socket, script, nullptr, nullptr); }
    ~other_end()
    {
        stop();
        peer_free(&other);
    }
    void stop()
    {
        if (!other.joined)
            peer_stop(&other);
    }
};

void wait(int fd, const xmpp_close::wants &now, int timeout)
{
    pollfd polled = { now.read || now.write ? fd : -1, 0, 0 };
    polled.events = static_cast<short>((now.read ? POLLIN : 0) | (now.write ? POLLOUT : 0));
    poll(&polled, 1, timeout);
}

// Steps the stream to its end, in a loop as in a program.
void step_through(xmpp_close::stream &stream, int fd)
{
    for (xmpp_close::wants now = stream.step(); !now.over; now = stream.step()) {
        if (now.answer)
            CHECK_INT(stream.finish(), XMPP_CLOSE_OK);
        wait(fd, now, stream.timeout());
    }
}

TEST(a_started_stream_is_stepped_and_its_callables_may_use_it)
{
    other_end end(TCP, answer);
    std::string late;
    bool said = false;
    xmpp_close::stream stream;
    xmpp_close::options options;
    options.linger_ms = std::chrono::minutes(1);
    options.on_stanza = [&](const char *xml, size_t len) {
        late.append(xml, len);
        CHECK(!stream.step().over); // does nothing
        CHECK(stream.send("<late/>") == sent::refused);
        return 0;
    };
    options.on_farewell = [&](char *buf, size_t len, size_t &n) {
        CHECK(len >= 4 && stream.wants().may_send);
        n = said ? 0 : 4;
        std::memcpy(buf, "<x/>", n);
        said = true;
        return 0;
    };
    stream = xmpp_close::stream::start(end.other.fd, options);
    options = {}; // it has its own
    CHECK(bool(stream));
    CHECK(stream.send("<presence/>") == sent::ok);
    CHECK_INT(stream.finish(conflict()), XMPP_CLOSE_OK);
    step_through(stream, end.other.fd);
    CHECK(stream.report().ended() == xmpp_close::outcome::clean);
    CHECK_INT(stream.report().refused, 2);
    CHECK_TEXT(late.c_str(), "<a/><b>c</b>");
    end.stop();
    CHECK(std::string(end.other.got).find("<presence/><x/><stream:error><conflict ") == 0);
}

TEST(a_stream_over_a_transport_is_stepped)
{
    static const step over_tls[] = {
        { READ_TAG, nullptr, 0 }, { SEND, "<a/>" TAG, 0 }, { SEND_ZERO, nullptr, 0 }, { READ_END, nullptr, 0 },
        { END, nullptr, 0 }
    };
    other_end end(TCP, over_tls);
    channel under;
    xmpp_close_transport unused;
    channel_init(&under, end.other.fd, 1, &unused);
    xmpp_close::transport over;
    over.fd = end.other.fd;
    over.tls = true;
    over.read = [&under](char *buf, size_t len, size_t &n) {
        return channel_read(&under, reinterpret_cast<uint8_t *>(buf), len, &n);
    };
    over.write = [&under](const char *buf, size_t len, size_t &n) {
        return channel_write(&under, reinterpret_cast<const uint8_t *>(buf), len, &n);
    };
    over.notify = [&under] { return channel_notify(&under); };
    over.shut = [&under] { return channel_shut(&under); };
    xmpp_close::stream stream = xmpp_close::stream::start(over, {});
    CHECK_INT(stream.finish(), XMPP_CLOSE_OK);
    step_through(stream, end.other.fd);
    CHECK_INT(stream.report().outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(stream.report().tls, 7);
    int code = 77;
    CHECK(!xmpp_close::stream::start(xmpp_close::transport(), {}, &code));
    CHECK_INT(code, XMPP_CLOSE_ERR_NULL);
}

TEST(a_callable_may_destroy_its_stream)
{
    other_end end(TCP, answer);
    const std::shared_ptr<int> token = std::make_shared<int>(0);
    std::unique_ptr<xmpp_close::stream> stream(new xmpp_close::stream);
    xmpp_close::options options;
    options.on_stanza = [&stream, token](const char *, size_t) {
        stream.reset();
        return ++*token, 0;
    };
    *stream = xmpp_close::stream::start(end.other.fd, std::move(options));
    options = {};
    CHECK_INT(stream->finish(), XMPP_CLOSE_OK);
    while (stream) {
        const int timeout = stream->timeout();
        const xmpp_close::wants now = stream->step();
        if (stream)
            wait(end.other.fd, now, timeout);
    }
    CHECK_INT(*token, 1); // and nothing is called once the stream is gone
    CHECK_INT(token.use_count(), 1);
}

TEST(an_exception_comes_out_of_step_and_ends_the_stream)
{
    other_end end(TCP, answer);
    int calls = 0, caught = 0;
    xmpp_close::options options;
    options.on_stanza = [&calls](const char *, size_t) -> int { throw ++calls; };
    xmpp_close::stream stream = xmpp_close::stream::start(end.other.fd, options);
    CHECK_INT(stream.finish(), XMPP_CLOSE_OK);
    while (caught == 0) {
        try {
            wait(end.other.fd, stream.step(), stream.timeout());
        } catch (int number) {
            caught = number;
        }
    }
    CHECK_INT(caught, 1);
    CHECK(stream.step().over); // and is not thrown again
    CHECK_INT(calls, 1);
    CHECK(stream.report().ended() == xmpp_close::outcome::cancelled);
}

struct found {
    frame kind;
    std::string xml;
    size_t len;
};

std::vector<found> all(xmpp_close::framer &framer, const std::string &bytes, frame expected)
{
    std::vector<found> them;
    const frame last = framer.feed(bytes.data(), bytes.size(), [&](frame kind, const char *xml, size_t len) {
        them.push_back({ kind, xml != nullptr ? std::string(xml, len) : "", len });
    });
    CHECK_INT(last, expected);
    return them;
}

TEST(a_framer_is_fed_in_one_call_for_each_piece)
{
    xmpp_close::framer framer = xmpp_close::framer::create(10000);
    std::vector<found> them = all(framer, "<stream:stream><a/>", frame::more);
    CHECK_INT(them.size(), 2);
    CHECK(them[0].kind == frame::header && them[0].xml == "<stream:stream>");
    CHECK(them[1].kind == frame::stanza && them[1].xml == "<a/>");
    CHECK(framer.between_stanzas());
    CHECK(all(framer, "<b", frame::more).empty());
    CHECK(!framer.between_stanzas());
    const std::string large = std::string(20000, 'x') + "</b>";
    them = all(framer, ">" + large + "<c/>" TAG "<never/>", frame::end);
    CHECK_INT(them.size(), 3);
    CHECK(them[0].kind == frame::oversize && them[0].len == 3 + large.size());
    CHECK(them[1].kind == frame::stanza && them[1].xml == "<c/>");
    CHECK(them[2].kind == frame::end);
    framer = xmpp_close::framer::create();
    CHECK_INT(all(framer, "<stream><success/>", frame::more).size(), 2);
    CHECK_INT(framer.restart(), XMPP_CLOSE_OK);
    them = all(framer, "<stream><<", frame::malformed);
    CHECK_INT(them.size(), 2);
    CHECK(them[0].kind == frame::header);
    CHECK(them[1].kind == frame::malformed && them[1].xml == "not-well-formed");
}

TEST(a_framer_can_be_taken_step_by_step)
{
    xmpp_close::framer framer = xmpp_close::framer::create_inside(nullptr);
    const char bytes[] = "<a/><b/>";
    const char *data = bytes, *xml = nullptr;
    size_t len = sizeof bytes - 1, xml_len = 0;
    CHECK(framer.next(data, len, xml, xml_len) == frame::stanza);
    CHECK_BYTES(xml, xml_len, "<a/>", 4);
    CHECK(data == bytes + 4);
    CHECK_INT(len, 4);
    CHECK(framer.next(data, len, xml, xml_len) == frame::stanza);
    CHECK_BYTES(xml, xml_len, "<b/>", 4);
    CHECK(framer.next(data, len, xml, xml_len) == frame::more);
    CHECK_INT(len, 0);
}

// There is no C between the two, so the exception passes through, and the framer stays usable.
TEST(an_exception_leaves_feed_as_it_is)
{
    xmpp_close::framer framer = xmpp_close::framer::create_inside(nullptr);
    int caught = 0;
    try {
        framer.feed("<a/><b/>", 8, [](frame, const char *, size_t) { throw 7; });
    } catch (int number) {
        caught = number;
    }
    CHECK_INT(caught, 7);
    CHECK_INT(all(framer, "<c/>", frame::more).size(), 1);
}

} // namespace
