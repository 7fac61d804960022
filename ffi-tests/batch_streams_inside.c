/* Started streams in a batch: what callbacks of the batch do with their own stream and with others. */
#include "batch_streams.h"

/* Inside the callbacks of the batch: the actor takes the other, or itself, out, or frees it. */
enum deed { REMOVE_OTHER, REMOVE_SELF, FREE_OTHER, FREE_SELF, REMOVE_AND_FREE_OTHER, ADD_ANOTHER, DEEDS };
static struct {
    xmpp_close_batch *batch;
    xmpp_close_stream *s[3];
    struct member members[3];
    enum deed deed;
    int done, at_end;
} scene;

static void act(struct member *member)
{
    xmpp_close_stream *out = NULL;
    int result = XMPP_CLOSE_OK;
    if (member != &scene.members[0] || scene.done++ || scene.deed == DEEDS)
        return;
    if (scene.deed == REMOVE_OTHER || scene.deed == REMOVE_AND_FREE_OTHER) {
        result = xmpp_close_batch_remove(scene.batch, scene.members[1].index, &out);
        CHECK(out == scene.s[1]);
        (void)xmpp_close_step(out); /* not before this has returned */
        if (scene.deed == REMOVE_AND_FREE_OTHER)
            xmpp_close_free(out);
    } else if (scene.deed == REMOVE_SELF && !scene.at_end) {
        result = xmpp_close_batch_remove(scene.batch, scene.members[0].index, &out);
        CHECK(out == scene.s[0]);
    } else if (scene.deed == FREE_OTHER) {
        xmpp_close_free(scene.s[1]);
    } else if (scene.deed == FREE_SELF) {
        xmpp_close_free(scene.s[0]);
    } else if (scene.deed == ADD_ANOTHER) {
        put(scene.batch, scene.s[2], &scene.members[2]);
        CHECK_INT(scene.members[2].index, 2);
    }
    CHECK_INT(result, XMPP_CLOSE_OK);
}

static int act_on_stanza(void *member, const uint8_t *xml, size_t len)
{
    int result = member_stanza(member, xml, len);
    if (!scene.at_end)
        act(member);
    return result;
}

static void act_at_end(struct member *member)
{
    if (scene.at_end)
        act(member);
}

TEST(callbacks_may_take_out_free_and_add_any)
{
    int way;
    for (way = 0; way < 2 * DEEDS; way++) {
        unsigned long long patience = now_ms() + NEVER_MS;
        int self, other;
        size_t i;
        memset(&scene, 0, sizeof scene);
        scene.deed = (enum deed)(way / 2);
        scene.at_end = way & 1;
        scene.batch = batch_that_tells(0);
        for (i = 0; i < 3; i++) {
            /* The other waits, so that it is there when the deed is done. */
            struct member *member = &scene.members[i];
            member_start(member, TCP, i == 1 ? mute : talks, NULL, NULL);
            member->options.on_stanza = act_on_stanza;
            member->at_end = act_at_end;
            CHECK_INT(xmpp_close_start(member->peer.fd, &member->options, &scene.s[i]), XMPP_CLOSE_OK);
        }
        put(scene.batch, scene.s[1], &scene.members[1]);
        put(scene.batch, scene.s[0], &scene.members[0]);
        while (scene.done == 0 && CHECK(now_ms() < patience))
            CHECK(xmpp_close_batch_turn(scene.batch, 100) >= 0);
        self = scene.deed == FREE_SELF || (scene.deed == REMOVE_SELF && !scene.at_end);
        other = scene.deed == FREE_OTHER || scene.deed == REMOVE_AND_FREE_OTHER || scene.deed == REMOVE_OTHER;
        if (scene.deed == REMOVE_OTHER) { /* the stream can be stepped now */
            CHECK(!(xmpp_close_step(scene.s[1]) & XMPP_CLOSE_OVER));
            CHECK_INT(xmpp_close_tell(scene.s[1], XMPP_CLOSE_FACT_CANCEL, 0, 0), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_step(scene.s[1]), XMPP_CLOSE_OVER);
        }
        if (!other)
            xmpp_close_free(scene.s[1]); /* between two turns */
        turn_to_the_end(scene.batch);
        CHECK_INT(scene.members[1].ends, 0);
        if (scene.deed == REMOVE_SELF && !scene.at_end)
            step_to_the_end(scene.s[0], scene.members[0].peer.fd);
        if (scene.deed == REMOVE_SELF && !scene.at_end)
            CHECK_INT(report_of(scene.s[0]).outcome, XMPP_CLOSE_CLEAN);
        if (!CHECK_INT(scene.members[0].ends, !self || scene.at_end) |
            !CHECK_INT(scene.members[2].ends, scene.deed == ADD_ANOTHER))
            printf("  that was deed %d, %s\n", scene.deed, scene.at_end ? "in on_end" : "in on_stanza");
        if (scene.deed != FREE_SELF)
            xmpp_close_free(scene.s[0]);
        if (scene.deed == REMOVE_OTHER)
            xmpp_close_free(scene.s[1]);
        xmpp_close_free(scene.s[2]);
        xmpp_close_batch_free(scene.batch);
        for (i = 0; i < 3; i++) {
            peer_stop(&scene.members[i].peer);
            CHECK(peer_count(&scene.members[i].peer, TAG) <= 1);
        }
        if (!self)
            CHECK_TEXT(scene.members[0].got, "<a/><b/>");
        members_free(scene.members, 3);
    }
}

static struct {
    xmpp_close_batch *batch;
    xmpp_close_stream *s;
    int frees;
} leaver;

static int leave(void *userdata, const uint8_t *xml, size_t len)
{
    struct member *member = userdata;
    xmpp_close_stream *out = NULL;
    int result = member_stanza(member, xml, len);
    if (member->calls > 1)
        return result;
    if (leaver.frees)
        xmpp_close_free(leaver.s);
    else
        CHECK_INT(xmpp_close_batch_remove(leaver.batch, member->index, &out), XMPP_CLOSE_OK);
    return result;
}

/* Though more has been read already. */
TEST(what_leaves_in_its_own_callback_hears_nothing_more_of_the_batch)
{
    static struct member member;
    for (leaver.frees = 0; leaver.frees < 2; leaver.frees++) {
        leaver.batch = batch_that_tells(0);
        member_start(&member, TCP, mute, NULL, NULL);
        member.options.on_stanza = leave;
        say(&member, "<a/><b/><c/>");
        CHECK_INT(xmpp_close_start(member.peer.fd, &member.options, &leaver.s), XMPP_CLOSE_OK);
        put(leaver.batch, leaver.s, &member);
        turn_to_the_end(leaver.batch);
        CHECK_INT(member.calls, 1);
        CHECK_INT(member.ends, 0);
        xmpp_close_batch_free(leaver.batch);
        if (!leaver.frees) { /* the stream goes on where it was */
            say(&member, TAG);
            step_to_the_end(leaver.s, member.peer.fd);
            CHECK_INT(report_of(leaver.s).outcome, XMPP_CLOSE_CLEAN);
            CHECK_TEXT(member.got, "<a/><b/><c/>");
            xmpp_close_free(leaver.s);
        }
        peer_stop(&member.peer);
        CHECK_INT(peer_count(&member.peer, TAG), !leaver.frees);
        peer_free(&member.peer);
    }
}
