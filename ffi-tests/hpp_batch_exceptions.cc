// xmpp_close.hpp: what callables of a batch throw.
#include "check.h"
#include "hpp.h"

namespace {

using xmpp_close::batch;

const step answer[] = {
    { READ_TAG, nullptr, 0 }, { SEND, "<a/><b>c</b>" TAG, 0 }, { READ_END, nullptr, 0 }, { END, nullptr, 0 }
};
const step silent[] = { { HOLD, nullptr, 0 } };

int thrown_by(batch &batch, const xmpp_close::batch_options &options)
{
    try {
        batch.run(options);
    } catch (const mine &caught) {
        return caught.number;
    }
    return 0;
}

// Where each stream throws: 0 on_stanza, 1 on_data, 2 on_farewell, 3 read, 4 write, 5 shut. The other half do not throw.
TEST(an_exception_stops_only_its_stream)
{
    const size_t count = 12;
    peers others(count, answer);
    std::vector<channel> under(count);
    int on_ends = 0;
    batch batch = xmpp_close::batch::create();
    for (size_t i = 0; i < count; i++) {
        const auto bytes = [i](const char *, size_t) -> int { throw mine{ int(i) }; };
        xmpp_close::options options;
        xmpp_close::transport over = plain(under[i], others.all[i].fd);
        switch (i) {
        case 0: options.on_stanza = bytes; break;
        case 1: options.on_data = bytes; break;
        case 2: options.on_farewell = [i](char *, size_t, size_t &) -> int { throw mine{ int(i) }; }; break;
        case 3: over.read = [i](char *, size_t, size_t &) -> int { throw mine{ int(i) }; }; break;
        case 4: over.write = [i](const char *, size_t, size_t &) -> int { throw mine{ int(i) }; }; break;
        case 5: over.shut = [i]() -> int { throw mine{ int(i) }; }; break;
        default: break;
        }
        CHECK_INT(i < 3 ? batch.add(others.all[i].fd, options) : batch.add(over, options), XMPP_CLOSE_OK);
    }
    xmpp_close::batch_options options;
    options.on_end = [&on_ends](size_t index, const xmpp_close::report &) {
        on_ends++;
        if (index == 0 || index == 7)
            throw mine{ 100 };
    };
    const unsigned long long start = now_ms();
    CHECK_INT(thrown_by(batch, options), 0); // the stream with the lowest index, and its first exception
    CHECK(now_ms() - start < 3000 + static_cast<unsigned long long>(check_slack()));
    CHECK_INT(on_ends, count);
    for (size_t i = 0; i < count; i++) {
        const bool is_cancelled = i < 3, is_broken = i == 3 || i == 4;
        CHECK_INT(batch.report(i).outcome,
                  is_cancelled ? XMPP_CLOSE_CANCELLED : is_broken ? XMPP_CLOSE_RESET : XMPP_CLOSE_CLEAN);
    }
}

TEST(exceptions_of_the_batch_come_out_too)
{
    peers others(3, silent);
    batch batch = xmpp_close::batch::create();
    for (const peer &other : others.all)
        CHECK_INT(batch.add(other.fd, {}), XMPP_CLOSE_OK);
    xmpp_close::batch_options options;
    int calls = 0;
    options.on_progress = [&calls](const xmpp_close::summary &) -> int { throw mine{ ++calls }; };
    CHECK_INT(thrown_by(batch, options), 1);
    CHECK_INT(calls, 1);
    for (size_t i = 0; i < others.all.size(); i++)
        CHECK_INT(batch.report(i).outcome, XMPP_CLOSE_CANCELLED);

    peers well(2, answer);
    batch = xmpp_close::batch::create();
    for (const peer &other : well.all)
        CHECK_INT(batch.add(other.fd, {}), XMPP_CLOSE_OK);
    options.on_progress = nullptr;
    options.on_end = [&calls](size_t index, const xmpp_close::report &) {
        calls++;
        if (index == 1)
            throw mine{ 8 };
    };
    CHECK_INT(thrown_by(batch, options), 8);
    CHECK_INT(calls, 3);
    CHECK_INT(batch.report(1).outcome, XMPP_CLOSE_CLEAN);
}

} // namespace
