/* Engines: how TLS and TCP are ended, early or without a tag. */
#include "engine.h"

TEST(tls_ends_by_alerts)
{
    begin_over_tls();
    finishes();
    writes();
    wants("RP");
    peer_closed();
    wants("RN");
    tells(XMPP_CLOSE_FACT_DID_NOTIFY, 0);
    takes(0, 31);
    wants("RW");
    takes(0, 0);
    wants("R");
    tells(XMPP_CLOSE_FACT_NOTIFIED, 0);
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1).tls, 7);

    begin_over_tls(); /* a peer that stays silent gets our alert all the same */
    finishes();
    writes();
    ticks_at(30000, "NO");
    tells(XMPP_CLOSE_FACT_DID_NOTIFY, 0);
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_TIMED_OUT, XMPP_CLOSE_INITIATOR_US, 1, 0).tls, 3);

    begin_over_tls();
    tells(XMPP_CLOSE_FACT_NOTIFIED, 0);
    wants("RMA");
    finishes();
    wants("RW");
    writes();
    wants("RN");
    tells(XMPP_CLOSE_FACT_DID_NOTIFY, 0);
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    CHECK_INT(ends(XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_PEER, 1, 0).tls, 7);

    begin_over_tls(); /* without close_notify */
    finishes();
    writes();
    eof();
    wants("NO");
    CHECK_INT(ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_US, 1, 0).tls, 1);

    begin_over_tls(); /* inside an element */
    tells(XMPP_CLOSE_FACT_NOTIFIED, 1);
    finishes();
    writes();
    eof();
    ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_PEER, 1, 0);
}

/* A TLS layer that neither shows the peer's close_notify nor lets us send ours. */
TEST(tls_that_hides_its_alerts)
{
    xmpp_close_options options = defaults();
    options.tls = 2;
    begin_at(&options, 0);
    finishes();
    writes();
    peer_closed();
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1).tls, 1);
}

TEST(a_half_close_is_asked_for)
{
    xmpp_close_options options = defaults();
    options.half_close = 1;
    begin_at(&options, 0);
    finishes();
    writes();
    wants("RPS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("RP");
    within(30000);
    peer_closed();
    wants("R");
    within(2000);
    eof();
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);

    for (options.tls = 1; options.tls <= 2; options.tls++) {
        s = NULL;
        CHECK_INT(xmpp_close_new(&options, 0, &s), XMPP_CLOSE_ERR_INVALID);
        CHECK(s == NULL);
    }
}

TEST(our_header_has_not_gone_out)
{
#define HEADER "<stream:stream to='a.example'>"
    begin_with_header(HEADER);
    finishes_with("host-unknown");
    says(HEADER ERROR_OF("host-unknown") TAG);
    xmpp_close_free(s);

    begin_with_header(HEADER);
    sends("<proceed/>");
    says(HEADER "<proceed/>");
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_RESTARTED, 1, now), XMPP_CLOSE_ERR_INVALID); /* not all that was sent is written */
    writes();
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_RESTARTED, 3, now), XMPP_CLOSE_ERR_INVALID);
    tells(XMPP_CLOSE_FACT_RESTARTED, 1);
    tells(XMPP_CLOSE_FACT_TLS_FAILED, 0);
    wants("O");
    says("");
    CHECK_INT(ends(XMPP_CLOSE_TLS_FAILED, XMPP_CLOSE_INITIATOR_PEER, 0, 0).tls, 1);

    begin_with_header(HEADER);
    sends("<proceed/>");
    writes();
    tells(XMPP_CLOSE_FACT_RESTARTED, 1);
    finishes(); /* while TLS is negotiated: what is sent goes out when TLS is there */
    says(HEADER TAG);
    xmpp_close_free(s);

    begin_with_header(HEADER);
    tells(XMPP_CLOSE_FACT_HEADER_OUT, 0);
    finishes();
    says(TAG);
    xmpp_close_free(s);

    begin_with_header("<stream to='a.example'>"); /* the tag is that of the header */
    finishes();
    says("<stream to='a.example'></stream>");
    xmpp_close_free(s);
}

TEST(a_detach_sends_no_tag)
{
    begin();
    sends("A");
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    finishes(); /* too late */
    wants("RW");
    receives(9, 0);
    says("A");
    writes();
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US, 0, 0);
}

TEST(a_peer_that_closed_may_get_no_tag)
{
    begin();
    peer_closed();
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    eof();
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_PEER, 0, 1);

    begin();
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    peer_closed(); /* too late to ask for an answer */
    wants("RS");
    eof();
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US, 0, 0);
}
