#include "stanza_parser.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "expat_memory.h"

/* An expat that has this function can put off parsing, and must be told not to. An expat without it never does. */
#ifndef HAVE_DECL_XML_SETREPARSEDEFERRALENABLED
#error "Look whether expat.h declares XML_SetReparseDeferralEnabled, and define this as 1 or 0, as the Makefile does."
#endif

/* Since version 2.9 expat.h warns of the older function, which counts in a long. */
#if XML_MAJOR_VERSION * 1000 + XML_MINOR_VERSION >= 2009
#define BYTE_INDEX XML_GetCurrentByteIndex64
#else
#define BYTE_INDEX XML_GetCurrentByteIndex
#endif

#define STREAMS "http://etherx.jabber.org/streams"
#define STREAM_MANAGEMENT "urn:xmpp:sm:3"
#define SEPARATOR '|'           /* expat puts it between namespace and name */
#define STANZA_LIMIT (1u << 20) /* RFC 6120, section 13.12: never below 10000 */
#define TAG_LIMIT 16384         /* of one tag with its attributes; expat keeps it until it is whole */
#define DEPTH_LIMIT 100         /* elements in elements */
#define PIECE 4096              /* what expat gets at once, so that the limits are looked at in time */

struct stanza_parser {
    XML_Parser expat;
    expat_account memory;
    void (*on_header)(void *owner);
    void (*on_stanza)(void *owner, const stanza *stanza);
    void *owner;
    int depth;
    int closed;
    const char *broken; /* NULL, or the condition */
    unsigned long long fed;
    char stream_id[256];
    stanza stanza;
    size_t capacity;
};

static void stop(stanza_parser *p, const char *condition)
{
    if (!p->broken)
        p->broken = condition;
    XML_StopParser(p->expat, XML_FALSE);
}

static const char *local_name(const char *name)
{
    const char *separator = strrchr(name, SEPARATOR);
    return separator ? separator + 1 : name;
}

/* A name that does not fit is not one of those that anyone looks for. */
static void copy(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);
    if (len >= size)
        len = 0;
    memcpy(to, from, len);
    to[len] = '\0';
}

/* Escapes a value, to be written between apostrophes. */
static char *escaped(const char *value)
{
    static const char *const entities[] = { "&amp;", "&lt;", "&apos;", "&#9;", "&#10;", "&#13;" };
    static const char special[] = "&<'\t\n\r";
    char *copy = malloc(6 * strlen(value) + 1), *end = copy;
    if (!copy)
        return NULL;
    for (; *value; value++) {
        const char *found = strchr(special, *value);
        if (found) {
            const char *entity = entities[found - special];
            memcpy(end, entity, strlen(entity));
            end += strlen(entity);
        } else {
            *end++ = *value;
        }
    }
    *end = '\0';
    return copy;
}

/* Everything inside a stanza comes through here as it came from the peer: expat hands it over unparsed. */
static void on_raw(void *userdata, const XML_Char *text, int text_len)
{
    stanza_parser *p = userdata;
    size_t len = (size_t)text_len;
    if (p->depth < 2 || p->broken || !len)
        return;
    if (p->stanza.len + len > STANZA_LIMIT) {
        stop(p, "policy-violation");
        return;
    }
    if (p->stanza.len + len > p->capacity) {
        size_t capacity = 2 * (p->stanza.len + len);
        char *xml = realloc(p->stanza.xml, capacity);
        if (!xml) {
            stop(p, "resource-constraint");
            return;
        }
        p->stanza.xml = xml;
        p->capacity = capacity;
    }
    memcpy(p->stanza.xml + p->stanza.len, text, len);
    p->stanza.len += len;
}

static const char *attribute(const char **attributes, const char *name)
{
    while (*attributes && strcmp(*attributes, name))
        attributes += 2;
    return *attributes ? attributes[1] : "";
}

static void forget_attributes(stanza *s)
{
    free(s->id);
    free(s->from);
    free(s->to);
}

static void begin_stanza(stanza_parser *p, const char *name, const char **attributes)
{
    stanza *s = &p->stanza;
    copy(s->name, sizeof s->name, local_name(name));
    copy(s->type, sizeof s->type, attribute(attributes, "type"));
    s->stream_error = !strcmp(name, STREAMS "|error");
    s->stream_management = !strncmp(name, STREAM_MANAGEMENT "|", sizeof STREAM_MANAGEMENT);
    s->child[0] = '\0';
    s->len = 0;
    forget_attributes(s);
    s->id = escaped(attribute(attributes, "id"));
    s->from = escaped(attribute(attributes, "from"));
    s->to = escaped(attribute(attributes, "to"));
    if (!s->id || !s->from || !s->to)
        stop(p, "resource-constraint");
}

static void on_start(void *userdata, const XML_Char *name, const XML_Char **attributes)
{
    stanza_parser *p = userdata;
    if (p->broken)
        return;
    if (p->depth == 0 && strcmp(name, STREAMS "|stream")) {
        stop(p, "invalid-namespace");
        return;
    }
    if (p->depth == DEPTH_LIMIT) {
        stop(p, "policy-violation");
        return;
    }
    p->depth++;
    if (p->depth == 1) {
        copy(p->stream_id, sizeof p->stream_id, attribute(attributes, "id"));
        p->on_header(p->owner);
    } else if (p->depth == 2) {
        begin_stanza(p, name, attributes);
    } else if (p->depth == 3 && !p->stanza.child[0]) {
        copy(p->stanza.child, sizeof p->stanza.child, local_name(name));
    }
    XML_DefaultCurrent(p->expat); /* to on_raw */
}

static void on_end(void *userdata, const XML_Char *name)
{
    stanza_parser *p = userdata;
    (void)name;
    if (p->broken)
        return;
    XML_DefaultCurrent(p->expat);
    p->depth--;
    if (p->depth == 1 && !p->broken) {
        p->on_stanza(p->owner, &p->stanza);
    } else if (p->depth == 0) {
        p->closed = 1;
        XML_StopParser(p->expat, XML_FALSE);
    }
}

/* RFC 6120, section 11.1: comments, processing instructions and DTDs have no place in a stream. */
static void on_comment(void *userdata, const XML_Char *text)
{
    (void)text;
    stop(userdata, "restricted-xml");
}

static void on_instruction(void *userdata, const XML_Char *target, const XML_Char *text)
{
    (void)target;
    on_comment(userdata, text);
}

static void on_doctype(void *userdata, const XML_Char *name, const XML_Char *system, const XML_Char *public, int subset)
{
    (void)system, (void)public, (void)subset;
    on_comment(userdata, name);
}

/* RFC 6120, section 11.6: a stream is UTF-8, whatever it declares. */
static void on_declaration(void *userdata, const XML_Char *version, const XML_Char *encoding, int standalone)
{
    (void)version, (void)standalone;
    if (encoding && strcasecmp(encoding, "UTF-8"))
        stop(userdata, "unsupported-encoding");
}

/* In UTF-16 one of the first two bytes is 0, or both are a byte order mark. expat would follow the mark, whatever we
 * set. */
static int is_utf16(const stanza_parser *p, const unsigned char *bytes, size_t len)
{
    size_t i;
    for (i = 0; i < len && p->fed + i < 2; i++)
        if (bytes[i] == 0 || bytes[i] >= 0xfe)
            return 1;
    return 0;
}

/* How many bytes expat holds back, because they are half a tag. */
static unsigned long long unfinished(const stanza_parser *p)
{
    return p->fed ? p->fed - (unsigned long long)BYTE_INDEX(p->expat) : 0;
}

/* The condition of RFC 6120, section 4.9.3, for what expat has refused. */
static const char *condition(const stanza_parser *p)
{
    switch (XML_GetErrorCode(p->expat)) {
    case XML_ERROR_UNDEFINED_ENTITY:
        return "restricted-xml"; /* section 11.1 */
    case XML_ERROR_NO_MEMORY:
        return "policy-violation"; /* the peer has used up its memory */
    default:
        return "not-well-formed";
    }
}

stanza_parser *stanza_parser_new(void (*on_header)(void *owner), void (*on_stanza)(void *owner, const stanza *stanza),
                                 void *owner)
{
    static const XML_Char separator[] = { SEPARATOR, '\0' };
    stanza_parser *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    expat_charged = &p->memory;
    p->expat = XML_ParserCreate_MM("UTF-8", &expat_memory, separator);
    if (!p->expat) {
        free(p);
        return NULL;
    }
    p->on_header = on_header;
    p->on_stanza = on_stanza;
    p->owner = owner;
    XML_SetUserData(p->expat, p);
#if HAVE_DECL_XML_SETREPARSEDEFERRALENABLED
    /* Otherwise a closing tag that comes in two segments may wait inside expat for a third that never comes. */
    XML_SetReparseDeferralEnabled(p->expat, XML_FALSE);
#endif
    XML_SetElementHandler(p->expat, on_start, on_end);
    XML_SetDefaultHandler(p->expat, on_raw);
    XML_SetCommentHandler(p->expat, on_comment);
    XML_SetProcessingInstructionHandler(p->expat, on_instruction);
    XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
    XML_SetXmlDeclHandler(p->expat, on_declaration);
    return p;
}

void stanza_parser_free(stanza_parser *p)
{
    if (!p)
        return;
    expat_charged = &p->memory;
    XML_ParserFree(p->expat);
    forget_attributes(&p->stanza);
    free(p->stanza.xml);
    free(p);
}

stanza_parsed stanza_parser_feed(stanza_parser *p, const void *bytes, size_t len)
{
    const char *rest = bytes;
    if (!p->closed && is_utf16(p, bytes, len))
        p->broken = "unsupported-encoding";
    expat_charged = &p->memory;
    while (len && !p->closed && !p->broken) {
        const size_t piece = len < PIECE ? len : PIECE;
        const enum XML_Status status = XML_Parse(p->expat, rest, (int)piece, 0);
        rest += piece;
        len -= piece;
        p->fed += piece;
        if (p->closed || p->broken)
            break;
        if (status != XML_STATUS_OK)
            p->broken = condition(p);
        else if (unfinished(p) > TAG_LIMIT)
            p->broken = "policy-violation";
    }
    return p->closed ? STREAM_CLOSED : p->broken ? STREAM_BROKEN : STREAM_GOES_ON;
}

int stanza_parser_inside(const stanza_parser *p)
{
    return !p->closed && !p->broken && (p->depth > 1 || unfinished(p));
}

const char *stanza_parser_stream_id(const stanza_parser *p)
{
    return p->stream_id;
}

const char *stanza_parser_condition(const stanza_parser *p)
{
    return p->broken ? p->broken : "undefined-condition";
}
