/* The smallest program that uses the library. The files beside it build it: with
 *
 *    CMake      cmake -B build && cmake --build build
 *    Meson      meson setup build && meson compile -C build
 *    autotools  autoreconf -i && ./configure && make
 */

#include <stdio.h>
#include <unistd.h>
#include <sys/socket.h>

#include <xmpp_close.h>

int main(void)
{
    static const char answer[] = "<message/></stream:stream>";
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    int pair[2];

    /* A peer that has said all that it will say. */
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0
        || write(pair[1], answer, sizeof answer - 1) != (ssize_t)sizeof answer - 1)
        return 1;
    if (xmpp_close_fd(pair[0], NULL, &report) != XMPP_CLOSE_OK)
        return 1;
    printf("%s\n", xmpp_close_outcome_name(report.outcome));
    return report.outcome != XMPP_CLOSE_CLEAN;
}
