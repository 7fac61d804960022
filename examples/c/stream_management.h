/* XEP-0198 in miniature: stanzas are counted and acknowledged. Nothing in here knows of xmpp_close. */
#ifndef STREAM_MANAGEMENT_H
#define STREAM_MANAGEMENT_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "stanza_parser.h"

#define SM_ENABLED "<enabled xmlns='urn:xmpp:sm:3'/>"
#define SM_ACK "<a xmlns='urn:xmpp:sm:3' h='%lu'/>"

typedef struct stream_management {
    int enabled;
    uint32_t handled; /* stanzas since then */
} stream_management;

/* To be called for every element that is handled. It counts only stanzas, not an <r/>, for example. */
static inline void sm_count(stream_management *sm, const stanza *element)
{
    if (!strcmp(element->name, "message") || !strcmp(element->name, "presence") || !strcmp(element->name, "iq"))
        sm->handled++;
}

/* The length of an <a/>; 0: the peer has never asked for one. */
static inline size_t sm_ack(const stream_management *sm, char *buf, size_t len)
{
    return sm->enabled ? (size_t)snprintf(buf, len, SM_ACK, (unsigned long)sm->handled) : 0;
}

/* The length of the reply to an element of XEP-0198; 0: there is no reply. */
static inline size_t sm_reply(stream_management *sm, const stanza *element, char *buf, size_t len)
{
    if (!strcmp(element->name, "enable")) {
        sm->enabled = 1;
        sm->handled = 0;
        return (size_t)snprintf(buf, len, SM_ENABLED);
    }
    return strcmp(element->name, "r") ? 0 : sm_ack(sm, buf, len);
}

#endif
