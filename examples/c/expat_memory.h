/* Memory for expat, within a limit for each parser. expat keeps every element that is open and every name it has ever
 * met, so the peer decides how much that is. Nothing in here knows of xmpp_close. */
#ifndef EXPAT_MEMORY_H
#define EXPAT_MEMORY_H

#include <expat.h>
#include <stdlib.h>

#define EXPAT_MEMORY_LIMIT (1u << 20)

/* Bytes that one parser has. */
typedef size_t expat_account;

/* The count of the parser which this thread is using: expat does not say for which parser it allocates. */
static __thread expat_account *expat_charged;

/* Each block has its size in front. */
typedef union expat_block {
    size_t size;
    long double aligned;
} expat_block;

static inline void *expat_resize(void *old, size_t size)
{
    expat_block *block = old ? (expat_block *)old - 1 : NULL;
    const size_t before = block ? block->size : 0;
    if (size > before && size - before > EXPAT_MEMORY_LIMIT - *expat_charged)
        return NULL; /* expat then thinks that the machine has no more memory */
    block = realloc(block, sizeof *block + size);
    if (!block)
        return NULL;
    *expat_charged += size - before;
    block->size = size;
    return block + 1;
}

static inline void *expat_allocate(size_t size)
{
    return expat_resize(NULL, size);
}

static inline void expat_release(void *old)
{
    expat_block *block = old ? (expat_block *)old - 1 : NULL;
    if (block)
        *expat_charged -= block->size;
    free(block);
}

static const XML_Memory_Handling_Suite expat_memory = { expat_allocate, expat_resize, expat_release };

#endif
