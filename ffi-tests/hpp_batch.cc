// xmpp_close.hpp: many streams at once, each with callables of its own.
#include "channel.h"
#include "check.h"
#include "hpp.h"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <poll.h>
#include <type_traits>
#include <unistd.h>

namespace {

using xmpp_close::batch;

const step answer[] = {
    { READ_TAG, nullptr, 0 }, { SEND, "<a/><b>c</b>" TAG, 0 }, { READ_END, nullptr, 0 }, { END, nullptr, 0 }
};
const step silent[] = { { HOLD, nullptr, 0 } };

static_assert(!std::is_copy_constructible<batch>::value && !std::is_copy_assignable<batch>::value, "batch");
static_assert(std::is_nothrow_move_constructible<batch>::value, "batch");
static_assert(std::is_nothrow_move_assignable<batch>::value, "batch");

TEST(each_stream_has_its_own_callables)
{
    const size_t count = 20;
    peers others(count, answer);
    std::vector<std::string> seen(count);
    std::vector<unsigned> counts(count);
    std::vector<channel> under(count);
    std::vector<int> ends(count);
    batch first = batch::create();
    for (size_t i = 0; i < count; i++) {
        const int fd = others.all[i].fd;
        xmpp_close::options options; // freed before the batch runs
        options.farewell = "<presence id='" + std::to_string(i) + "'/>";
        options.residual = "<r/>";
        options.on_farewell = [&counts, i](char *buf, size_t len, size_t &n) {
            n = static_cast<size_t>(std::snprintf(buf, len, "<a h='%u'/>", counts[i]));
            return 0;
        };
        options.on_stanza = [&seen, &counts, i](const char *xml, size_t len) {
            seen[i].append(xml, len);
            counts[i]++;
            return 0;
        };
        size_t index = 77;
        CHECK_INT(i % 2 ? first.add(plain(under[i], fd), options, &index) : first.add(fd, options, &index), 0);
        CHECK_INT(index, i);
    }
    batch moved = std::move(first); // what the callbacks point to stays where it is
    CHECK(!first && bool(moved));
    CHECK_INT(first.run({}).code, XMPP_CLOSE_ERR_NULL);
    xmpp_close::batch_options options;
    uint32_t last_ended = 0;
    options.spread_ms = 100;
    options.on_end = [&](size_t index, const xmpp_close::report &ended) {
        ends[index]++;
        CHECK_INT(ended.outcome, XMPP_CLOSE_CLEAN);
        close(others.all[index].fd);
        others.all[index].fd = -1;
    };
    options.on_progress = [&](const xmpp_close::summary &so_far) {
        last_ended = so_far.ended;
        return 0;
    };
    CHECK_INT(moved.report(0).outcome, XMPP_CLOSE_PENDING);
    const xmpp_close::batch_result result = moved.run(options);
    CHECK(bool(result));
    CHECK_INT(result.summary.streams, count);
    CHECK_INT(result.summary.outcomes[XMPP_CLOSE_CLEAN], count);
    CHECK(result.summary.stanzas >= 2 * count); // and what was handled before the turn of a stream is not late
    CHECK_INT(last_ended, count);
    others.stop();
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(moved.report(i).outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(ends[i], 1);
        CHECK_TEXT(seen[i].c_str(), "<r/><a/><b>c</b>");
        CHECK_TEXT(others.all[i].got, ("<presence id='" + std::to_string(i) + "'/><a h='1'/>" TAG).c_str());
    }
    CHECK_INT(moved.report(count).outcome, XMPP_CLOSE_PENDING);
    CHECK(bool(moved.run(options))); // as often as you like
}

TEST(callables_live_as_long_as_the_batch)
{
    const std::shared_ptr<int> token = std::make_shared<int>(0);
    peers others(2, answer);
    {
        batch batch = xmpp_close::batch::create();
        for (const peer &other : others.all) {
            xmpp_close::options options;
            options.on_stanza = [token](const char *, size_t) { return ++*token, 0; };
            CHECK_INT(batch.add(other.fd, std::move(options)), XMPP_CLOSE_OK);
        }
        CHECK_INT(token.use_count(), 3);
        xmpp_close::options refused;
        refused.on_stanza = [token](const char *, size_t) { return 0; };
        CHECK_INT(batch.add(-1, std::move(refused)), XMPP_CLOSE_ERR_INVALID);
        CHECK_INT(token.use_count(), 3);
        CHECK_INT(batch.run({}).summary.outcomes[XMPP_CLOSE_CLEAN], 2);
        CHECK_INT(*token, 4);
    }
    CHECK_INT(token.use_count(), 1);
    batch never_run = batch::create(), other = batch::create();
    xmpp_close::options options;
    options.on_stanza = [token](const char *, size_t) { return 0; };
    CHECK_INT(never_run.add(others.all[0].fd, options), XMPP_CLOSE_OK);
    options = {};
    never_run = std::move(other);
    CHECK_INT(token.use_count(), 1);
    batch &same = never_run;
    never_run = std::move(same);
    CHECK(bool(never_run) && !other);
}

TEST(refusals_are_those_of_c)
{
    peers others(1, answer);
    batch empty;
    CHECK_INT(empty.add(others.all[0].fd, {}), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(empty.add(xmpp_close::transport(), {}), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(empty.report(0).outcome, XMPP_CLOSE_PENDING);
    int code = 77;
    batch batch = xmpp_close::batch::create(&code);
    CHECK_INT(code, XMPP_CLOSE_OK);
    const xmpp_close::canceller none;
    xmpp_close::options cannot;
    cannot.canceller = &none;
    size_t index = 77;
    CHECK_INT(batch.add(others.all[0].fd, cannot, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(batch.add(xmpp_close::transport(), {}, &index), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(index, 77);
    CHECK_INT(batch.add(others.all[0].fd, {}, &index), XMPP_CLOSE_OK);
    CHECK_INT(index, 0);
    xmpp_close::batch_options bad;
    bad.canceller = &none;
    CHECK_INT(batch.run(bad).code, XMPP_CLOSE_ERR_INVALID);
    bad.canceller = nullptr;
    bad.total_ms = bad.spread_ms = 100;
    CHECK_TEXT(batch.run(bad).strerror(), xmpp_close_strerror(XMPP_CLOSE_ERR_INVALID));
    xmpp_close::batch_options good;
    good.stream_error = "system-shutdown";
    good.stream_error_text = "back < soon";
    CHECK_INT(batch.run(good).summary.outcomes[XMPP_CLOSE_CLEAN], 1);
    others.stop();
    CHECK_INT(peer_count(&others.all[0], "<system-shutdown "), 1);
    CHECK_INT(peer_count(&others.all[0], "back &lt; soon"), 1);
}

TEST(a_callable_may_cancel_all)
{
    static const step talks[] = { { READ_TAG, nullptr, 0 }, { SEND, "<a/>", 0 }, { HOLD, nullptr, 0 } };
    peers talker(1, talks), others(3, silent), another(1, silent);
    const xmpp_close::canceller canceller = xmpp_close::canceller::create();
    batch batch = xmpp_close::batch::create();
    xmpp_close::options stops;
    stops.on_stanza = [&canceller](const char *, size_t) { return canceller.cancel(); };
    CHECK_INT(batch.add(talker.all[0].fd, stops), XMPP_CLOSE_OK);
    for (const peer &other : others.all)
        CHECK_INT(batch.add(other.fd, {}), XMPP_CLOSE_OK);
    xmpp_close::batch_options options;
    options.canceller = &canceller;
    CHECK_INT(batch.run(options).summary.outcomes[XMPP_CLOSE_CANCELLED], 4);
    batch = xmpp_close::batch::create();
    CHECK_INT(batch.add(another.all[0].fd, {}), XMPP_CLOSE_OK);
    options.canceller = nullptr;
    options.total_ms = 200;
    CHECK_INT(batch.run(options).summary.outcomes[XMPP_CLOSE_TIMED_OUT], 1);
}

TEST(a_callable_may_add_to_its_batch)
{
    peers others(3, answer);
    batch all = batch::create();
    int ends[3] = { 0, 0, 0 };
    unsigned late = 0;
    std::vector<size_t> added;
    const auto add = [&](int fd) {
        xmpp_close::options options;
        options.on_stanza = [&late](const char *, size_t) { return late++, 0; };
        size_t index = 77;
        CHECK_INT(all.add(fd, options, &index), XMPP_CLOSE_OK);
        added.push_back(index);
    };
    xmpp_close::options first;
    first.on_stanza = [&](const char *, size_t) {
        if (added.empty())
            add(others.all[1].fd);
        return 0;
    };
    CHECK_INT(all.add(others.all[0].fd, first), XMPP_CLOSE_OK);
    xmpp_close::batch_options with;
    with.on_end = [&](size_t index, const xmpp_close::report &ended) {
        CHECK_INT(ended.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(all.report(index).outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(all.run({}).code, XMPP_CLOSE_ERR_INVALID);
        ends[index]++;
        if (index == 1)
            add(others.all[2].fd);
    };
    const auto done = all.run(with);
    CHECK_INT(done.code, XMPP_CLOSE_OK);
    CHECK_INT(done.summary.outcomes[XMPP_CLOSE_CLEAN], 3);
    CHECK(added == std::vector<size_t>({ 1, 2 }));
    CHECK(ends[0] == 1 && ends[1] == 1 && ends[2] == 1);
    CHECK_INT(late, 4);
}

// Beside a loop of the program: nothing is kept of a stream that has ended.
TEST(a_batch_is_turned_by_another_loop)
{
    const std::shared_ptr<int> token = std::make_shared<int>(0);
    peers others(20, answer);
    size_t next = 5, ended = 0;
    batch all = batch::create();
    const auto add = [&](int fd) {
        xmpp_close::options options;
        options.on_stanza = [token](const char *, size_t) { return ++*token, 0; };
        CHECK_INT(all.add(fd, std::move(options)), XMPP_CLOSE_OK);
    };
    xmpp_close::batch_options with;
    with.on_end = [&](size_t index, const xmpp_close::report &report) {
        CHECK(report.ended() == xmpp_close::outcome::clean);
        CHECK_INT(all.turn(), XMPP_CLOSE_ERR_INVALID);
        CHECK_INT(all.set({}), XMPP_CLOSE_ERR_INVALID);
        ended++;
        if (next < others.all.size())
            add(others.all[next++].fd);
        else if (index == others.all.size() - 1)
            throw mine{ 3 };
    };
    with.total_ms = std::chrono::minutes(2);
    CHECK_INT(all.set(with), XMPP_CLOSE_OK);
    for (size_t i = 0; i < next; i++)
        add(others.all[i].fd);
    int caught = 0;
    for (int left = 1; left > 0;) {
        pollfd polled = { all.fd(), POLLIN, 0 };
        poll(&polled, 1, all.timeout());
        try {
            left = all.turn();
        } catch (const mine &thrown) {
            caught += thrown.number;
            left = all.turn(); // it may have been the last
        }
        CHECK(left >= 0);
    }
    CHECK_INT(caught, 3);
    CHECK_INT(ended, others.all.size());
    CHECK_INT(*token, 2 * others.all.size());
    CHECK(token.use_count() <= 2); // of the stream whose on_end has thrown, everything is still there
    batch empty;
    CHECK_INT(empty.turn(), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(empty.set({}), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(empty.timeout(), -1);
}

// Streams that the program has started, and streams that are taken out again.
TEST(a_stream_stays_its_programs)
{
    peers others(3, answer);
    std::vector<xmpp_close::stream> streams;
    int late = 0, ended = 0;
    {
        batch all = batch::create();
        xmpp_close::batch_options with;
        with.on_end = [&](size_t, const xmpp_close::report &report) { ended += report.ended() == xmpp_close::outcome::clean; };
        CHECK_INT(all.set(with), XMPP_CLOSE_OK);
        for (peer &other : others.all) {
            xmpp_close::options options;
            options.on_stanza = [&late](const char *, size_t) { return ++late, 0; };
            streams.push_back(xmpp_close::stream::start(other.fd, std::move(options)));
        }
        size_t index = 77;
        for (xmpp_close::stream &each : streams)
            CHECK_INT(all.add(each, &index), XMPP_CLOSE_OK);
        CHECK_INT(index, 2);
        CHECK_INT(all.add(streams[2]), XMPP_CLOSE_ERR_INVALID); // the stream is in the batch already
        CHECK(streams[0].send("<x/>") == xmpp_close::sent::ok);
        int code = 77;
        CHECK(!all.remove(1, &code)); // it is still in its place
        CHECK_INT(code, XMPP_CLOSE_OK);
        CHECK(!all.remove(1, &code));
        CHECK_INT(code, XMPP_CLOSE_ERR_INVALID);
        streams.pop_back(); // the stream leaves, and on_end is not called
        int left = 1;
        while (left > 0)
            left = all.turn(-1);
        CHECK_INT(ended, 1);
        CHECK(streams[0].wants().over);
        CHECK_INT(all.add(others.all[2].fd, {}, &index), XMPP_CLOSE_OK);
        CHECK_INT(index, 3);
        streams.push_back(all.remove(3, &code)); // a new handle
        CHECK_INT(code, XMPP_CLOSE_OK);
    }
    for (size_t i = 1; i < 3; i++) {
        CHECK(streams[i].wants().may_send);
        CHECK_INT(streams[i].finish(), XMPP_CLOSE_OK);
        while (!streams[i].step().over) {
            pollfd polled = { others.all[i].fd, POLLIN, 0 };
            poll(&polled, 1, streams[i].timeout());
        }
        CHECK(streams[i].report().ended() == xmpp_close::outcome::clean);
    }
    CHECK_INT(late, 2 * 2); // the last has no callables
    streams.clear();
}

} // namespace
