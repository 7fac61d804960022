#include "router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IQ_RESULT "<iq type='result' id='%s'/>"
#define BUCKETS 4096

typedef struct entry {
    struct entry *next;
    unsigned number;
    void *stream;
} entry;

static entry *table[BUCKETS];
static reply *first, **end = &first; /* all wait equally long, so they are ready in this order */

static entry **find(unsigned number)
{
    entry **link = &table[number % BUCKETS];
    while (*link && (*link)->number != number)
        link = &(*link)->next;
    return link;
}

void session_begin(unsigned number, void *stream)
{
    entry *e = calloc(1, sizeof *e), **link = find(number);
    if (!e)
        abort();
    e->number = number;
    e->stream = stream;
    *link = e;
}

void session_end(unsigned number)
{
    entry **link = find(number), *e = *link;
    if (!e)
        return;
    *link = e->next;
    free(e);
}

void *session(unsigned number)
{
    const entry *e = *find(number);
    return e ? e->stream : NULL;
}

void *session_at(const char *address)
{
    char *domain;
    const unsigned long number = strtoul(address, &domain, 10);
    return domain > address && !strcmp(domain, "@localhost") ? session((unsigned)number) : NULL;
}

void router_ask(unsigned from, const char *id, uint64_t now)
{
    const size_t size = sizeof IQ_RESULT + strlen(id);
    reply *r = calloc(1, sizeof *r + size);
    if (!r)
        abort();
    snprintf(r->xml, size, IQ_RESULT, id);
    r->due = now + ROUTER_DELAY_MS;
    r->to = from;
    *end = r;
    end = &r->next;
}

reply *router_take(uint64_t now)
{
    reply *r = first;
    if (!r || r->due > now)
        return NULL;
    first = r->next;
    if (!first)
        end = &first;
    return r;
}

uint64_t router_due(void)
{
    return first ? first->due : UINT64_MAX;
}
