/* What the tests of the structs' sizes share. */
#ifndef SIZES_H
#define SIZES_H

#include "check.h"
#include "peer.h"
#include "xmpp_close.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

/* A copy that ends where the memory ends, so that valgrind notices an access beyond it. */
static inline void *cut(const void *bytes, size_t size)
{
    void *copy = malloc(size);
    if (copy == NULL)
        check_fatal("malloc");
    memcpy(copy, bytes, size);
    return copy;
}

/* A copy that is `extra` bytes longer, all of them zero. */
static inline void *stretched(const void *bytes, size_t size, size_t extra)
{
    unsigned char *copy = calloc(1, size + extra);
    if (copy == NULL)
        check_fatal("calloc");
    memcpy(copy, bytes, size);
    return copy;
}

/* Where the struct of a batch's options ended in version 0.1.0. */
#define BATCH_OPTIONS_0_1 offsetof(xmpp_close_batch_options, stream_error_address)

#endif
