/* Words, versions and idle limits: always an answer, whatever the question. */
#include "check.h"
#include "xmpp_close.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TEST(every_number_has_a_sentence)
{
    static const int codes[] = { XMPP_CLOSE_OK, XMPP_CLOSE_REFUSED, XMPP_CLOSE_FULL, XMPP_CLOSE_ERR_NULL, XMPP_CLOSE_ERR_INVALID, XMPP_CLOSE_ERR_SYSTEM,
                                 XMPP_CLOSE_ERR_PANIC };
    size_t i, j;
    int code;
    for (code = -1000; code <= 1000; code++)
        CHECK(xmpp_close_strerror(code) != NULL && strlen(xmpp_close_strerror(code)) > 4);
    CHECK(xmpp_close_strerror(INT_MIN) != NULL);
    CHECK(xmpp_close_strerror(INT_MAX) != NULL);
    for (i = 0; i < sizeof codes / sizeof *codes; i++)
        for (j = 0; j <= i; j++)
            CHECK((strcmp(xmpp_close_strerror(codes[i]), xmpp_close_strerror(codes[j])) == 0) == (i == j));
    CHECK_TEXT(xmpp_close_strerror(-77), xmpp_close_strerror(12345)); /* both unknown */
}

TEST(every_outcome_has_its_name)
{
    static const char *const names[] = { "pending", "clean", "peer-eof", "truncated", "reset", "timed-out",
                                         "stalled", "malformed", "tls-failed", "cancelled" };
    uint32_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++)
        CHECK_TEXT(xmpp_close_outcome_name(i), names[i]);
    CHECK_TEXT(xmpp_close_outcome_name(10), "unknown");
    CHECK_TEXT(xmpp_close_outcome_name(UINT32_MAX), "unknown");
}

TEST(a_report_is_one_line_of_text)
{
    static const char whole[] = "clean: both closing tags were exchanged; begun by us; 2 late stanzas, 316 bytes read; "
                                "1 send that came too late; the peer's close_notify was not seen; stream error caf\xc3\xa9-closed (see you); 19000 ms";
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    char line[512], *exact;
    size_t len;
    CHECK_INT(xmpp_close_describe(NULL, line, sizeof line), XMPP_CLOSE_ERR_NULL);
    CHECK(xmpp_close_describe(&report, line, sizeof line) > 0);
    CHECK_TEXT(line, "pending: not over yet; 0 bytes read; 0 ms"); /* nobody counted stanzas */
    report.outcome = XMPP_CLOSE_CLEAN;
    report.initiator = XMPP_CLOSE_INITIATOR_US;
    report.limit = XMPP_CLOSE_LIMIT_LINGER; /* a limit or an errno says nothing about a clean stream */
    report.os_error = 104;
    report.stanzas = 2;
    report.bytes_read = 316;
    report.elapsed_ms = 19000;
    report.refused = 1;
    report.tls = XMPP_CLOSE_TLS_USED; /* and not RECEIVED */
    strcpy(report.stream_error, "undefined-condition");
    strcpy(report.stream_error_name, "caf\xc3\xa9-closed");
    strcpy(report.stream_error_text, "see you");
    CHECK_INT(xmpp_close_describe(&report, line, sizeof line), sizeof whole - 1);
    CHECK_TEXT(line, whole);
    CHECK_INT(xmpp_close_describe(&report, NULL, 0), sizeof whole - 1);
    CHECK_INT(xmpp_close_describe(&report, NULL, 1), XMPP_CLOSE_ERR_NULL);
    for (len = 1; len < sizeof whole + 2; len++) { /* in memory that ends where the line must */
        exact = malloc(len);
        CHECK_INT(xmpp_close_describe(&report, exact, len), sizeof whole - 1);
        CHECK(strlen(exact) < len && strncmp(exact, whole, strlen(exact)) == 0);
        CHECK(strlen(exact) == 0 || (unsigned char)exact[strlen(exact) - 1] != 0xc3); /* half a character */
        free(exact);
    }
    report.outcome = XMPP_CLOSE_TIMED_OUT;
    report.limit = XMPP_CLOSE_LIMIT_TOTAL;
    xmpp_close_describe(&report, line, sizeof line);
    CHECK(strstr(line, "begun by us; the total limit ended it; ") != NULL && strstr(line, "; Connection reset") != NULL);
    report.outcome = report.initiator = report.limit = report.tls = UINT32_MAX; /* no values of these enums */
    memset(report.stream_error_text, 'x', sizeof report.stream_error_text);     /* and no NUL */
    CHECK(xmpp_close_describe(&report, line, sizeof line) > 256);
}

TEST(numbers_are_those_that_programs_were_built_with)
{
    CHECK_INT(XMPP_CLOSE_PENDING, 0);
    CHECK_INT(XMPP_CLOSE_CLEAN, 1);
    CHECK_INT(XMPP_CLOSE_PEER_EOF, 2);
    CHECK_INT(XMPP_CLOSE_TRUNCATED, 3);
    CHECK_INT(XMPP_CLOSE_RESET, 4);
    CHECK_INT(XMPP_CLOSE_TIMED_OUT, 5);
    CHECK_INT(XMPP_CLOSE_STALLED, 6);
    CHECK_INT(XMPP_CLOSE_MALFORMED, 7);
    CHECK_INT(XMPP_CLOSE_TLS_FAILED, 8);
    CHECK_INT(XMPP_CLOSE_CANCELLED, 9);
    CHECK_INT(XMPP_CLOSE_OK, 0);
    CHECK_INT(XMPP_CLOSE_REFUSED, 1);
    CHECK_INT(XMPP_CLOSE_FULL, 2);
    CHECK_INT(XMPP_CLOSE_ERR_NULL, -1);
    CHECK_INT(XMPP_CLOSE_ERR_INVALID, -2);
    CHECK_INT(XMPP_CLOSE_ERR_SYSTEM, -3);
    CHECK_INT(XMPP_CLOSE_ERR_PANIC, -4);
    CHECK_INT(XMPP_CLOSE_INITIATOR_NONE, 0);
    CHECK_INT(XMPP_CLOSE_INITIATOR_US, 1);
    CHECK_INT(XMPP_CLOSE_INITIATOR_PEER, 2);
    CHECK_INT(XMPP_CLOSE_INITIATOR_CROSSING, 3);
    CHECK_INT(XMPP_CLOSE_PEER_CLOSED, 11);
    CHECK_INT(XMPP_CLOSE_NOT_XMPP, 12);
    CHECK_INT(XMPP_CLOSE_MID_ELEMENT, 13);
    CHECK_INT(XMPP_CLOSE_FRAME_MORE, 0);
    CHECK_INT(XMPP_CLOSE_FRAME_HEADER, 1);
    CHECK_INT(XMPP_CLOSE_FRAME_STANZA, 2);
    CHECK_INT(XMPP_CLOSE_FRAME_OVERSIZE, 3);
    CHECK_INT(XMPP_CLOSE_FRAME_END, 4);
    CHECK_INT(XMPP_CLOSE_FRAME_MALFORMED, 5);
    CHECK_INT(XMPP_CLOSE_TLS_USED, 1);
    CHECK_INT(XMPP_CLOSE_TLS_NOTIFY_SENT, 2);
    CHECK_INT(XMPP_CLOSE_TLS_NOTIFY_RECEIVED, 4);
    CHECK_INT(XMPP_CLOSE_WANT_READ, -1);
    CHECK_INT(XMPP_CLOSE_WANT_WRITE, -2);
    CHECK_INT(XMPP_CLOSE_TLS_EOF, -3);
    CHECK_INT(XMPP_CLOSE_TLS_ERROR, -4);
}

TEST(header_and_library_have_the_same_version)
{
    CHECK_INT(xmpp_close_version_number(), XMPP_CLOSE_VERSION_NUMBER);
    CHECK_INT(XMPP_CLOSE_VERSION_NUMBER,
              XMPP_CLOSE_VERSION_MAJOR * 1000000 + XMPP_CLOSE_VERSION_MINOR * 1000 + XMPP_CLOSE_VERSION_PATCH);
}

#define LIMITS(value) "<limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>" value "</idle-seconds></limits>"
#define FEATURES(value) "<stream:features><x xmlns='urn:x'/>" LIMITS(value) "</stream:features>"

/* What is found in memory of exactly this size, so that an access beyond it is noticed; -9 for nothing. */
static long long idle_seconds(const char *features)
{
    size_t len = strlen(features);
    char *copy = malloc(len + (len == 0));
    uint32_t seconds = 77;
    int found;
    if (copy == NULL)
        check_fatal("malloc");
    memcpy(copy, features, len);
    found = xmpp_close_idle_seconds(copy, len, &seconds);
    free(copy);
    CHECK(found == 0 || found == 1);
    if (found == 0)
        CHECK_INT(seconds, 77); /* outputs are stored on success only */
    return found ? (long long)seconds : -9;
}

TEST(idle_seconds_are_found_where_they_are_announced)
{
    CHECK_INT(idle_seconds(FEATURES("840")), 840);
    CHECK_INT(idle_seconds(FEATURES(" 60\n")), 60);
    CHECK_INT(idle_seconds(FEATURES("4294967296")), UINT32_MAX);
    CHECK_INT(idle_seconds("<bidi xmlns='urn:xmpp:bidi'>" LIMITS("30") "</bidi>"), 30);
}

TEST(idle_seconds_that_are_not_announced_are_unknown)
{
    static const char *const none[] = { "", "<stream:features/>", "<stream:features><limits", FEATURES(""),
                                        FEATURES("0"), FEATURES("-5"), FEATURES("soon"), LIMITS("9"), "<a:b/>",
                                        "\xff", "</stream:stream>" };
    size_t i;
    for (i = 0; i < sizeof none / sizeof *none; i++)
        if (!CHECK_INT(idle_seconds(none[i]), -9))
            printf("  in %s\n", none[i]);
}
