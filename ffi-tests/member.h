/* One stream of a batch: its peer, its options, and what its callbacks saw. */
#ifndef MEMBER_H
#define MEMBER_H

#include "peer.h"
#include "xmpp_close.h"

struct member {
    struct peer peer;
    xmpp_close_options options;       /* its userdata is the member */
    const xmpp_close_transport *over; /* NULL: the socket itself */
    size_t index;
    char got[4096];                   /* what on_stanza or on_data was given */
    size_t len;
    int calls;
    int stop_after;                   /* the call that stops it, from 1; 0: none */
    int ends;
    uint32_t outcome;                 /* as on_end was told */
    void (*at_end)(struct member *);  /* called by on_end; NULL: nothing is */
    xmpp_close_report report;
};

/* Starts the peer, with no callbacks yet, and limits that no test ever reaches. `call` is for the step CALL. */
void member_start(struct member *member, enum kind kind, const struct step *script, void (*call)(void *), void *arg);

/* Callbacks for the options of a member. */
int member_stanza(void *member, const uint8_t *xml, size_t len);
int member_data(void *member, const uint8_t *data, size_t len); /* its parser knows the closing tag, and no more */
/* Callbacks for the options of a batch. */
void member_end(void *member, size_t index, const xmpp_close_report *report);

/* Options with member_end, and a limit that no test ever reaches. */
xmpp_close_batch_options batch_options(void);

/* A batch with all members in it. */
xmpp_close_batch *members_batch(struct member *members, size_t count);
/* Runs the batch and frees it. Its summary, its reports and on_end must agree. Then the peers are stopped, but not
 * freed. */
xmpp_close_summary members_run(xmpp_close_batch *batch, const xmpp_close_batch_options *options,
                               struct member *members, size_t count);
/* Makes a batch, and runs it. */
xmpp_close_summary members_close(struct member *members, size_t count, const xmpp_close_batch_options *options);
void members_free(struct member *members, size_t count);

/* The calls that close. */
enum api { FD, WITH, BATCH, BATCH_WITH, APIS };
extern const char *const api_names[];

/* Closes a member by one of them, and stops its peer; `tls`: over the toy TLS of channel.h, not for sockets themselves. */
void member_close(struct member *member, enum api api, int tls);

#endif
