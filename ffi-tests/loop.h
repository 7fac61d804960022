/* Small event loops, shaped like xmpp_close_with, so that one table of tests can hold all APIs to the same results. */
#ifndef LOOP_H
#define LOOP_H

#include "xmpp_close.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A loop around an engine. A readable `wake_fd` (-1: none) cancels, as a canceller in the options does for other calls. */
int loop_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
               xmpp_close_report *report);
/* A loop around a started stream: over the socket itself, unless there is TLS. `wake_fd`: the canceller may have been used. */
int step_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
               xmpp_close_report *report);
/* Loops around a started stream and a batch in C++, in endings_hpp.cc. */
int cpp_step_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
                   xmpp_close_report *report);
int cpp_batch_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
                    xmpp_close_report *report);

#ifdef __cplusplus
}
#endif

#endif
