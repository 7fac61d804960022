/* How far a batch is, in one line each time that a stream has ended. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdio.h>
#include <xmpp_close.h>

static inline void print_progress(const xmpp_close_summary *so_far)
{
    static uint32_t shown = UINT32_MAX;
    uint32_t outcome;
    if (so_far->ended == shown)
        return;
    shown = so_far->ended;
    printf("%s ", so_far->ended < so_far->streams ? "closing" : "closed");
    printf("%u streams, %u ms:", so_far->streams, so_far->elapsed_ms);
    for (outcome = 0; outcome < sizeof so_far->outcomes / sizeof *so_far->outcomes; outcome++)
        if (so_far->outcomes[outcome])
            printf(" %u %s", so_far->outcomes[outcome], xmpp_close_outcome_name(outcome));
    printf("\n");
}

#endif
