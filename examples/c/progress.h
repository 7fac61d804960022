/* How far a shutdown is, in one line each time that a stream has ended. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdio.h>
#include <xmpp_close.h>

#include "server.h"

static xmpp_close_summary progress = XMPP_CLOSE_SUMMARY_INIT;
static uint64_t progress_since;

/* One more stream is to be closed. Returns how many there were before. */
static inline unsigned progress_begin(void)
{
    if (!progress.streams)
        progress_since = clock_ms();
    progress.outcomes[XMPP_CLOSE_PENDING]++;
    return progress.streams++;
}

static inline void progress_end(uint32_t outcome)
{
    progress.ended++;
    progress.outcomes[XMPP_CLOSE_PENDING]--;
    progress.outcomes[outcome]++;
    printf("%s ", progress.ended < progress.streams ? "closing" : "closed");
    printf("%u streams, %u ms:", progress.streams, (unsigned)(clock_ms() - progress_since));
    for (outcome = 0; outcome < sizeof progress.outcomes / sizeof *progress.outcomes; outcome++)
        if (progress.outcomes[outcome])
            printf(" %u %s", progress.outcomes[outcome], xmpp_close_outcome_name(outcome));
    printf("\n");
}

#endif
