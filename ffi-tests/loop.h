/* A small event loop around xmpp_close_handshake_* and xmpp_close_framer_*, shaped like xmpp_close_with, so that one
 * table of tests can hold all three APIs to the same results. */
#ifndef LOOP_H
#define LOOP_H

#include "xmpp_close.h"

/* A readable `wake_fd` (-1: none) cancels, as a canceller in the options does elsewhere. */
int loop_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
               xmpp_close_report *report);

#endif
