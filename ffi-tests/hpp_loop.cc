// xmpp_close.hpp for event loops: each function of a handshake or a framer is the one of C with that name.
#include "check.h"
#include "hpp.h"

#include <cerrno>
#include <cstring>

namespace {

using xmpp_close::action;
using xmpp_close::frame;

static_assert(int(action::nothing) == XMPP_CLOSE_DO_NOTHING && int(action::teardown) == XMPP_CLOSE_DO_TEARDOWN, "same");
static_assert(int(frame::more) == XMPP_CLOSE_FRAME_MORE && int(frame::malformed) == XMPP_CLOSE_FRAME_MALFORMED, "same");

struct event {
    const char *name;
    action (*cpp)(xmpp_close::handshake &h, uint64_t now);
    int (*c)(xmpp_close_handshake *h, uint64_t now);
};

#define EVENT(name)                                                              \
    {                                                                            \
        #name, [](xmpp_close::handshake &h, uint64_t now) { return h.name(now); }, \
            [](xmpp_close_handshake *h, uint64_t now) { return xmpp_close_handshake_##name(h, now); } \
    }
#define EVENT_OF(name, detail)                                                   \
    {                                                                            \
        #name, [](xmpp_close::handshake &h, uint64_t now) { return h.name(detail, now); }, \
            [](xmpp_close_handshake *h, uint64_t now) { return xmpp_close_handshake_##name(h, detail, now); } \
    }

const event events[] = {
    EVENT(begin), EVENT(detach), EVENT_OF(arrived, 33), EVENT_OF(written, 17), EVENT(flushed), EVENT_OF(received, 33), EVENT(stanza),
    EVENT(oversize), EVENT_OF(stream_error, "conflict"), EVENT_OF(stream_error, nullptr), EVENT(peer_closed),
    EVENT(malformed), EVENT(eof), EVENT(truncated), EVENT(close_notify), EVENT_OF(failed, ECONNRESET),
    EVENT_OF(output_failed, EPIPE), EVENT(tls_failed), EVENT(cancel), EVENT(tick)
};

bool are_same(const xmpp_close::handshake &cpp, const xmpp_close_handshake *c)
{
    const xmpp_close::report report = cpp.report();
    xmpp_close_report expected = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_handshake_report(c, &expected);
    return std::memcmp(&report, &expected, sizeof report) == 0 &&
           cpp.may_write() == (xmpp_close_handshake_may_write(c) != 0) &&
           cpp.must_answer() == (xmpp_close_handshake_must_answer(c) != 0) &&
           cpp.expects_stanzas() == (xmpp_close_handshake_expects_stanzas(c) != 0) &&
           cpp.wants_input() == (xmpp_close_handshake_wants_input(c) != 0) &&
           cpp.deadline() == xmpp_close_handshake_deadline(c);
}

// Every event after every other, in every sequence of three.
void every_event_is_that_of_c()
{
    for (const event &first : events)
        for (const event &second : events)
            for (const event &third : events) {
                xmpp_close::options options;
                options.total_ms = 5000;
                options.answer_ms = 2000;
                options.tls = &first != &second; // both ways of it
                xmpp_close::handshake cpp = xmpp_close::handshake::create(options, 1000);
                xmpp_close_options c_options = XMPP_CLOSE_OPTIONS_INIT;
                c_options.total_ms = 5000;
                c_options.answer_ms = 2000;
                c_options.tls = options.tls;
                xmpp_close_handshake *c = nullptr;
                xmpp_close_handshake_new(&c_options, 1000, &c);
                uint64_t now = 1000;
                bool same = are_same(cpp, c);
                for (const event *each : { &first, &second, &third }) {
                    now += 2300; // beyond the deadline in the end
                    same = same && int(each->cpp(cpp, now)) == each->c(c, now) && are_same(cpp, c);
                }
                xmpp_close_handshake_free(c);
                if (!same) {
                    CHECK_TEXT((std::string(first.name) + " " + second.name + " " + third.name).c_str(), "the same");
                    return;
                }
            }
}

void a_handshake_from_begin_to_teardown()
{
    xmpp_close::handshake handshake = xmpp_close::handshake::create({}, 0);
    CHECK(handshake.may_write());
    CHECK(handshake.begin(1) == action::send_tag);
    CHECK(!handshake.may_write() && handshake.wants_input());
    CHECK(handshake.flushed(2) == action::nothing);
    CHECK(handshake.peer_closed(3) == action::end_output);
    CHECK(handshake.flushed(4) == action::nothing);
    CHECK(handshake.eof(5) == action::teardown);
    CHECK_INT(handshake.report().outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(handshake.report().elapsed_ms, 4);
    xmpp_close::options answers;
    answers.peer_closed = true;
    answers.total_ms = 700;
    handshake = xmpp_close::handshake::create(answers, 10);
    CHECK(handshake.deadline() == 710);
    CHECK(handshake.must_answer());
    answers.answer_ms = 50;
    CHECK(xmpp_close::handshake::create(answers, 10).deadline() == 60);
    CHECK(handshake.begin(11) == action::send_tag);
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

void a_framer_is_fed_in_one_call_for_each_piece()
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

void a_framer_can_be_taken_step_by_step()
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

// No C is on the way there, so it passes through; the framer stays good.
void an_exception_leaves_feed_as_it_is()
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

void event_loops()
{
    RUN(every_event_is_that_of_c);
    RUN(a_handshake_from_begin_to_teardown);
    RUN(a_framer_is_fed_in_one_call_for_each_piece);
    RUN(a_framer_can_be_taken_step_by_step);
    RUN(an_exception_leaves_feed_as_it_is);
}
