// The header as a C++11 program uses it: initializers, enums, lambdas as callbacks, handles in smart pointers.
#include "channel.h"
#include "check.h"
#include "xmpp_close.h"

#include <memory>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <vector>

namespace {

const std::string tag = "</stream:stream>";

struct Free {
    void operator()(xmpp_close_canceller *canceller) const { xmpp_close_canceller_free(canceller); }
    void operator()(xmpp_close_stream *stream) const { xmpp_close_free(stream); }
    void operator()(xmpp_close_framer *framer) const { xmpp_close_framer_free(framer); }
    void operator()(xmpp_close_batch *batch) const { xmpp_close_batch_free(batch); }
};

// Reads up to the tag, answers, and reads to the end.
void peer(int fd, const std::string &answer, std::string &got)
{
    char buf[256];
    ssize_t n;
    while (got.find(tag) == std::string::npos && (n = read(fd, buf, sizeof buf)) > 0)
        got.append(buf, static_cast<size_t>(n));
    CHECK(write(fd, answer.data(), answer.size()) == static_cast<ssize_t>(answer.size()));
    while ((n = read(fd, buf, sizeof buf)) > 0)
        got.append(buf, static_cast<size_t>(n));
    close(fd);
}

TEST(late_stanzas_reach_a_lambda)
{
    int fds[2];
    std::vector<std::string> stanzas;
    std::string got;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        check_fatal("socketpair");
    std::thread other(peer, fds[1], "<a/><b>c</b>" + tag, std::ref(got));
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    options.farewell = "<presence/>";
    options.farewell_len = 11;
    options.userdata = &stanzas;
    options.on_stanza = [](void *userdata, const uint8_t *xml, size_t len) {
        static_cast<std::vector<std::string> *>(userdata)->emplace_back(reinterpret_cast<const char *>(xml), len);
        return 0;
    };
    CHECK_INT(xmpp_close_fd(fds[0], &options, &report), XMPP_CLOSE_OK);
    close(fds[0]);
    other.join();
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(got.c_str(), "<presence/></stream:stream>");
    CHECK(stanzas == std::vector<std::string>({ "<a/>", "<b>c</b>" }));
}

TEST(a_batch_tells_lambdas)
{
    int pairs[2][2];
    std::string got[2];
    std::thread others[2];
    std::vector<size_t> ended;
    struct channel channel;
    xmpp_close_transport transport;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_batch_options together = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_batch *batch = nullptr;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    std::unique_ptr<xmpp_close_batch, Free> own_batch(batch);
    for (int i = 0; i < 2; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) != 0)
            check_fatal("socketpair");
        others[i] = std::thread(peer, pairs[i][1], "<a/>" + tag, std::ref(got[i]));
    }
    options.userdata = &ended;
    together.on_end = [](void *userdata, size_t index, const xmpp_close_report *) {
        static_cast<std::vector<size_t> *>(userdata)->push_back(index);
    };
    channel_init(&channel, pairs[1][0], 0, &transport);
    CHECK_INT(xmpp_close_batch_add(batch, pairs[0][0], &options, nullptr), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, &options, nullptr), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_run(batch, &together, &summary), XMPP_CLOSE_OK);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 2);
    CHECK_INT(ended.size(), 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(xmpp_close_batch_report(batch, i, &report), XMPP_CLOSE_OK);
        CHECK_INT(report.stanzas, 1);
        close(pairs[i][0]);
        others[i].join();
    }
}

TEST(handles_fit_smart_pointers)
{
    xmpp_close_canceller *canceller = nullptr;
    xmpp_close_stream *stream = nullptr;
    xmpp_close_framer *framer = nullptr;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_new(nullptr, 0, &stream), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_new_inside("stream:stream", 0, &framer), XMPP_CLOSE_OK);
    std::unique_ptr<xmpp_close_canceller, Free> own_canceller(canceller);
    std::unique_ptr<xmpp_close_stream, Free> own_stream(stream);
    std::unique_ptr<xmpp_close_framer, Free> own_framer(framer);
    CHECK_INT(xmpp_close_finish(own_stream.get(), nullptr, 1), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_canceller_cancel(own_canceller.get()), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_between_stanzas(own_framer.get()), 1);
}

TEST(structs_are_plain_data)
{
    static_assert(std::is_standard_layout<xmpp_close_options>::value, "options");
    static_assert(std::is_trivial<xmpp_close_report>::value, "report");
    static_assert(std::is_trivial<xmpp_close_transport>::value, "transport");
    const xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    CHECK_INT(transport.fd, -1);
    CHECK_INT(transport.struct_size, sizeof transport);
    CHECK_INT(xmpp_close_with(&transport, nullptr, nullptr), XMPP_CLOSE_ERR_NULL);
    CHECK_TEXT(xmpp_close_outcome_name(XMPP_CLOSE_TIMED_OUT), "timed-out");
}

} // namespace
