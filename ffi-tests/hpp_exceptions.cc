// xmpp_close.hpp: no exception enters C; each stops its stream, and comes out of the call.
#include "channel.h"
#include "check.h"
#include "hpp.h"

#include <cerrno>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace {

const step talks_on[] = {
    { READ_TAG, nullptr, 0 }, { SEND, "<a/>", 100 }, { SEND, TAG, 0 }, { READ_END, nullptr, 0 }, { END, nullptr, 0 }
};
const step silent[] = { { HOLD, nullptr, 0 } };

struct mine {
    int number;
};

// Closes, and returns the number that was thrown; 0 if nothing was.
template <class Over>
int thrown_by(const Over &over, const xmpp_close::options &options)
{
    const unsigned long long start = now_ms();
    int number = 0;
    try {
        xmpp_close::close(over, options);
    } catch (const mine &caught) {
        number = caught.number;
    }
    CHECK(now_ms() - start < 1000 + static_cast<unsigned long long>(check_slack())); // and not after total_ms
    return number;
}

TEST(a_throwing_callable_stops_the_close)
{
    for (int which = 0; which < 3; which++) {
        int calls = 0;
        const auto thrower = [&calls](const char *, size_t) -> int { throw mine{ ++calls }; };
        xmpp_close::options options;
        if (which == 0)
            options.on_stanza = thrower;
        else if (which == 1)
            options.on_data = thrower;
        else
            options.on_farewell = [&calls](char *, size_t, size_t &) -> int { throw mine{ ++calls }; };
        peer other;
        peer_start(&other, TCP, talks_on, nullptr, nullptr);
        CHECK_INT(thrown_by(other.fd, options), 1);
        CHECK_INT(calls, 1);
        char byte;
        CHECK(recv(other.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno == EAGAIN); // the descriptor is still ours
        peer_stop(&other);
        CHECK_INT(peer_count(&other, TAG), which < 2);
        peer_free(&other);
    }
}

// Whichever callable throws, and whether the peer is silent or not: no other callable of the transport is called.
TEST(a_throwing_transport_stops_the_close)
{
    enum { READ_THROWS, WRITE_THROWS, ANSWER_THROWS, DETACH_THROWS, END_THROWS, ALL };
    for (const step *script : { silent, talks_on }) {
        for (int what = 0; what < ALL; what++) {
            for (const bool tls : { false, true }) {
                peer other;
                channel under;
                xmpp_close_transport c;
                int calls_after = 0, number = 0;
                peer_start(&other, TCP, script, nullptr, nullptr);
                channel_init(&under, other.fd, tls, &c);
                const auto maybe_throw = [&](int here) {
                    calls_after += number != 0;
                    if (here == what)
                        throw mine{ number = 10 + here };
                };
                xmpp_close::transport over;
                over.fd = other.fd;
                over.tls = tls;
                over.read = [&](char *buf, size_t len, size_t &n) {
                    maybe_throw(READ_THROWS);
                    return channel_read(&under, reinterpret_cast<uint8_t *>(buf), len, &n);
                };
                over.write = [&](const char *buf, size_t len, size_t &n) {
                    maybe_throw(what == ANSWER_THROWS || what == DETACH_THROWS ? what : WRITE_THROWS);
                    return channel_write(&under, reinterpret_cast<const uint8_t *>(buf), len, &n);
                };
                over.notify = [&] {
                    maybe_throw(END_THROWS);
                    return channel_notify(&under);
                };
                over.shut = [&] {
                    maybe_throw(END_THROWS);
                    return channel_shut(&under);
                };
                xmpp_close::options options;
                options.half_close = !tls;
                options.peer_closed = what == ANSWER_THROWS || what == END_THROWS; // the silent peer, too
                options.detach = what == DETACH_THROWS;
                options.farewell = "<presence/>";
                CHECK_INT(thrown_by(over, options), 10 + what);
                CHECK_INT(calls_after, 0);
                peer_stop(&other);
                peer_free(&other);
            }
        }
    }
}

TEST(a_write_that_throws_stops_also_when_nothing_can_be_written)
{
    peer other;
    channel under;
    xmpp_close_transport c;
    peer_start(&other, TCP_SMALL, silent, nullptr, nullptr);
    channel_init(&under, other.fd, 0, &c);
    size_t taken = 0;
    xmpp_close::transport over;
    over.fd = other.fd;
    over.read = [&](char *buf, size_t len, size_t &n) {
        return channel_read(&under, reinterpret_cast<uint8_t *>(buf), len, &n);
    };
    over.write = [&](const char *buf, size_t len, size_t &n) {
        const int result = channel_write(&under, reinterpret_cast<const uint8_t *>(buf), len, &n);
        taken += n;
        if (result != 0)
            throw mine{ 42 };
        return result;
    };
    xmpp_close::options options;
    options.farewell = std::string(4000000, ' '); // more than any buffer takes
    CHECK_INT(thrown_by(over, options), 42);
    CHECK(taken > 0 && taken < options.farewell.size());
    peer_stop(&other);
    peer_free(&other);
}

TEST(a_close_inside_a_callable_may_throw_through_it)
{
    int outer_calls = 0;
    xmpp_close::options inner, outer;
    inner.on_stanza = [](const char *, size_t) -> int { throw std::out_of_range("inner"); };
    outer.on_stanza = [&](const char *, size_t) {
        outer_calls++;
        close_with_peer(talks_on, inner);
        return 0;
    };
    std::string what;
    try {
        close_with_peer(talks_on, outer);
    } catch (const std::exception &error) {
        what = error.what();
    }
    CHECK_TEXT(what.c_str(), "inner");
    CHECK_INT(outer_calls, 1);
}

// on_end cannot stop the close, which goes on to its end here.
TEST(what_on_log_throws_comes_out_of_the_call)
{
    int calls = 0;
    xmpp_close::options options;
    options.on_log = [&calls](xmpp_close::phase, const char *) { throw mine{ ++calls }; };
    peer other;
    peer_start(&other, TCP, talks_on, nullptr, nullptr);
    CHECK_INT(thrown_by(other.fd, options), 1);
    CHECK_INT(calls, 1); // and on_end is not called again
    peer_stop(&other);
    CHECK_TEXT(other.got, TAG);
    peer_free(&other);

    xmpp_close::stream engine = xmpp_close::stream::engine(options, 0);
    CHECK_INT(engine.cancel(), XMPP_CLOSE_OK);
    int thrown = 0;
    try {
        engine.step();
    } catch (const mine &caught) {
        thrown = caught.number;
    }
    CHECK_INT(thrown, 2);
}

TEST(options_can_be_used_again_after_an_exception)
{
    int calls = 0;
    xmpp_close::options options;
    options.on_stanza = [&calls](const char *, size_t) {
        if (++calls == 1)
            throw mine{ 5 };
        return 0;
    };
    peer other;
    peer_start(&other, TCP, talks_on, nullptr, nullptr);
    CHECK_INT(thrown_by(other.fd, options), 5);
    peer_stop(&other);
    peer_free(&other);
    CHECK_TEXT(close_with_peer(talks_on, options).result.outcome_name(), "clean");
    CHECK_INT(calls, 101);
}

} // namespace
