/* The ways of C to close, over Winsock: a call that blocks, steps in a loop around WSAPoll, an engine, and a batch.
 * .ci/windows compares what it prints. */
#include "peer.h"
#include <xmpp_close.h>

static int late_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    (void)userdata;
    printf("  still came: %.*s\n", (int)len, (const char *)xml);
    return 0;
}

static void print(const char *way, const xmpp_close_report *report)
{
    printf("%s: %s, %d stanza\n", way, xmpp_close_outcome_name(report->outcome), (int)report->stanzas);
}

static void by_a_call(SOCKET socket)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    options.on_stanza = late_stanza;
    require(xmpp_close_fd(socket, &options, &report) == XMPP_CLOSE_OK, "xmpp_close_fd");
    print("call", &report);
}

static void wait_for(SOCKET socket, uint32_t wants, int timeout)
{
    WSAPOLLFD p;
    p.fd = socket;
    p.events = 0;
    p.revents = 0;
    if (wants & XMPP_CLOSE_READ)
        p.events |= POLLIN;
    if (wants & XMPP_CLOSE_WRITE)
        p.events |= POLLOUT;
    if (p.events == 0)
        Sleep((DWORD)timeout); /* WSAPoll takes no empty set */
    else
        require(WSAPoll(&p, 1, timeout) >= 0, "WSAPoll");
}

static void by_steps(SOCKET socket)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_stream *s;
    uint32_t wants;
    options.on_stanza = late_stanza;
    require(xmpp_close_start(socket, &options, &s) == XMPP_CLOSE_OK, "xmpp_close_start");
    require(xmpp_close_finish(s, NULL, 0) == XMPP_CLOSE_OK, "xmpp_close_finish");
    while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER))
        wait_for(socket, wants, xmpp_close_timeout(s, 0));
    require(xmpp_close_get_report(s, &report) == XMPP_CLOSE_OK, "xmpp_close_get_report");
    print("steps", &report);
    xmpp_close_free(s);
}

static void write_some(xmpp_close_stream *s, SOCKET socket, uint64_t now)
{
    const uint8_t *bytes;
    size_t len = xmpp_close_output(s, &bytes);
    int n = send(socket, (const char *)bytes, (int)len, 0);
    if (n >= 0)
        xmpp_close_wrote(s, (size_t)n, 0, now);
    else if (WSAGetLastError() != WSAEWOULDBLOCK)
        xmpp_close_tell(s, XMPP_CLOSE_FACT_WRITE_FAILED, (uint64_t)WSAGetLastError(), now);
}

static void read_some(xmpp_close_stream *s, SOCKET socket, uint64_t now)
{
    char buf[4096];
    int n = recv(socket, buf, sizeof buf, 0);
    if (n > 0) {
        const uint8_t *at = (const uint8_t *)buf, *xml;
        size_t len = (size_t)n, size;
        int frame;
        while ((frame = xmpp_close_input(s, &at, &len, now, &xml, &size)) > 0)
            if (frame == XMPP_CLOSE_FRAME_STANZA)
                late_stanza(NULL, xml, size);
    } else if (n == 0) {
        xmpp_close_tell(s, XMPP_CLOSE_FACT_EOF, (xmpp_close_wants(s) & XMPP_CLOSE_INSIDE) != 0, now);
    } else if (WSAGetLastError() != WSAEWOULDBLOCK) {
        xmpp_close_tell(s, XMPP_CLOSE_FACT_READ_FAILED, (uint64_t)WSAGetLastError(), now);
    }
}

static void by_an_engine(SOCKET socket)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_stream *s;
    uint32_t wants;
    u_long nonblocking = 1;
    require(ioctlsocket(socket, FIONBIO, &nonblocking) == 0, "ioctlsocket");
    require(xmpp_close_new(NULL, GetTickCount64(), &s) == XMPP_CLOSE_OK, "xmpp_close_new");
    require(xmpp_close_finish(s, NULL, GetTickCount64()) == XMPP_CLOSE_OK, "xmpp_close_finish");
    while (!((wants = xmpp_close_tick(s, GetTickCount64())) & XMPP_CLOSE_OVER)) {
        if (wants & XMPP_CLOSE_SHUT) {
            shutdown(socket, SD_SEND);
            xmpp_close_tell(s, XMPP_CLOSE_FACT_DID_SHUT, 0, GetTickCount64());
            continue;
        }
        wait_for(socket, wants, xmpp_close_timeout(s, GetTickCount64()));
        if (wants & XMPP_CLOSE_WRITE)
            write_some(s, socket, GetTickCount64());
        if (wants & XMPP_CLOSE_READ)
            read_some(s, socket, GetTickCount64());
    }
    require(xmpp_close_get_report(s, &report) == XMPP_CLOSE_OK, "xmpp_close_get_report");
    print("engine", &report);
    xmpp_close_free(s);
}

static void by_a_batch(SOCKET first, SOCKET second)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    xmpp_close_batch *batch;
    require(xmpp_close_batch_new(&batch) == XMPP_CLOSE_OK, "xmpp_close_batch_new");
    require(xmpp_close_batch_fd(batch) == XMPP_CLOSE_NO_SOCKET, "a batch has no descriptor on Windows");
    require(xmpp_close_batch_add(batch, first, NULL, NULL) == XMPP_CLOSE_OK, "the first stream");
    require(xmpp_close_batch_add(batch, second, NULL, NULL) == XMPP_CLOSE_OK, "the second stream");
    require(xmpp_close_batch_add(batch, XMPP_CLOSE_NO_SOCKET, NULL, NULL) == XMPP_CLOSE_ERR_INVALID, "no socket");
    options.total_ms = 60000;
    require(xmpp_close_batch_run(batch, &options, &summary) == XMPP_CLOSE_OK, "xmpp_close_batch_run");
    printf("batch: %d of %d clean\n", (int)summary.outcomes[XMPP_CLOSE_CLEAN], (int)summary.streams);
    xmpp_close_batch_free(batch);
}

int main(void)
{
    void (*const ways[])(SOCKET) = { by_a_call, by_steps, by_an_engine };
    connection all[2];
    WSADATA winsock;
    size_t i;
    require(WSAStartup(MAKEWORD(2, 2), &winsock) == 0, "WSAStartup");
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        open_connection(&all[0]);
        ways[i](all[0].ours);
        end_connection(&all[0]);
    }
    for (i = 0; i < 2; i++)
        open_connection(&all[i]);
    by_a_batch(all[0].ours, all[1].ours);
    for (i = 0; i < 2; i++)
        end_connection(&all[i]);
    return 0;
}
