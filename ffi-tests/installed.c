/* What a program that was built against the installed library can do: close a
 * stream on a socket. tests/install.rs builds it with pkg-config alone. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xmpp_close.h>

static const char answer[] = "<message/></stream:stream>";

int main(void)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    int pair[2];
    int result;

    if (xmpp_close_version_number() != XMPP_CLOSE_VERSION_NUMBER) {
        fprintf(stderr, "the header and the library differ in version\n");
        return 1;
    }
    /* A peer that has sent all that it will send. */
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0
        || write(pair[1], answer, strlen(answer)) != (ssize_t)strlen(answer)
        || shutdown(pair[1], SHUT_WR) != 0) {
        perror("socketpair");
        return 1;
    }
    result = xmpp_close_fd(pair[0], NULL, &report);
    if (result != XMPP_CLOSE_OK) {
        fprintf(stderr, "%s\n", xmpp_close_strerror(result));
        return 1;
    }
    printf("%s, %u stanza\n", xmpp_close_outcome_name(report.outcome), (unsigned)report.stanzas);
    close(pair[0]);
    close(pair[1]);
    return report.outcome == XMPP_CLOSE_CLEAN ? 0 : 1;
}
