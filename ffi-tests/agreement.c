/* expat and the framer find the same stanzas and the same end in the same bytes, however the bytes are cut. */
#include "check.h"
#include "xmpp_close.h"

#include <expat.h>
#include <stdio.h>
#include <string.h>

#define OPEN "<s:s xmlns:s='n'>"
#define CLOSE "</s:s>"

enum verdict { GOES_ON, ENDS, REFUSES };

struct sample {
    const char *name;
    const char *xml;
    size_t len;            /* 0: up to the NUL */
    const char *differs;   /* why expat finds something else; NULL: it finds the same */
    enum verdict framer, expat; /* looked at only when they differ */
};

#define AGREE(name, xml) { name, xml, 0, NULL, GOES_ON, GOES_ON }
#define RESTRICTED "RFC 6120 section 11.1 forbids what XML allows"
#define NAMESPACES "F-26: the framer looks neither at namespaces nor for duplicates"

static const struct sample samples[] = {
    AGREE("a usual stream", "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream="
          "'http://etherx.jabber.org/streams'><message><body>hi</body></message> <iq/>\n</stream:stream>"),
    AGREE("F-01 another prefix", "<foobar:stream xmlns:foobar='n'><a/></foobar:stream>"),
    AGREE("F-02 no prefix", "<stream xmlns='n'><a/></stream>"),
    AGREE("F-03 space in the end tag", OPEN "<a/></s:s \t\r\n>"),
    AGREE("F-04 space before its name", OPEN "<a/></ s:s>"),
    AGREE("F-04 space in its name", OPEN "<a/></s :s>"),
    AGREE("F-04 an attribute in it", OPEN "<a/></s:s a='b'>"),
    AGREE("F-05 an empty root", "<s:s xmlns:s='n'/>"),
    AGREE("F-06 CDATA", OPEN "<a><![CDATA[" CLOSE "]]></a>" CLOSE),
    AGREE("F-06 CDATA and brackets", OPEN "<a><![CDATA[]]]]]><b/></a><c/>" CLOSE),
    AGREE("F-06 CDATA between stanzas", OPEN "<![CDATA[" CLOSE "]]><a/>" CLOSE),
    { "F-07 comment", OPEN "<a/><!--" CLOSE "-->" CLOSE, 0, RESTRICTED, REFUSES, ENDS },
    { "F-07 comment in a stanza", OPEN "<a><!--" CLOSE "--></a>" CLOSE, 0, RESTRICTED, REFUSES, ENDS },
    { "F-07 instruction", OPEN "<a/><?x " CLOSE "?>" CLOSE, 0, RESTRICTED, REFUSES, ENDS },
    AGREE("F-08 < in a value", OPEN "<a b='" CLOSE "'/>" CLOSE),
    AGREE("F-09 > in values and text", OPEN "<a b='>' c=\"/>\" d='\"'> > /> ' ]] </a>" CLOSE),
    AGREE("F-09 ]]> in text", OPEN "<b/><a>]]></a>" CLOSE),
    AGREE("F-12 byte order mark", "\xef\xbb\xbf" OPEN "<a/>" CLOSE),
    AGREE("F-13 U+FEFF between stanzas", OPEN "<a/>\xef\xbb\xbf<b/>" CLOSE),
    { "F-14 DTD", "<!DOCTYPE s [<!ENTITY a 'b'>]>" OPEN CLOSE, 0, RESTRICTED, REFUSES, ENDS },
    AGREE("F-14 DTD in the stream", OPEN "<a/><!DOCTYPE s>" CLOSE),
    AGREE("F-15 predefined and numeric references", OPEN "<a b='&lt;&quot;'>&lt;/s:s>&#65;&#x1F600;</a>" CLOSE),
    AGREE("F-15 an unknown entity", OPEN "<b/><a>&foo;</a>" CLOSE),
    AGREE("F-15 no character", OPEN "<b/><a>&#0;</a>" CLOSE),
    AGREE("F-16 second declaration", OPEN "<a/><?xml version='1.0'?>" CLOSE),
    AGREE("F-17 a header without restart", OPEN "<a/><?xml version='1.0'?>" OPEN),
    AGREE("F-18 standalone", "<?xml version='1.0' standalone='no'?>" OPEN "<a/>" CLOSE),
    AGREE("F-18 UTF-16", "<?xml version='1.0' encoding='UTF-16'?>" OPEN "<a/>" CLOSE),
    { "F-18 Latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?>" OPEN "<a/>" CLOSE, 0,
      "RFC 6120 section 11.6 allows UTF-8 only", REFUSES, ENDS },
    AGREE("F-19 the root's name inside", OPEN "<a><s:s/><s:s></s:s></a><s:s><s:s/></s:s>" CLOSE),
    AGREE("F-20 text between stanzas", OPEN "x<a/> y &lt; <b> </b>" CLOSE),
    AGREE("F-21 without prefix", OPEN "<a/></s>"),
    AGREE("F-21 another case", OPEN "<a/></S:s>"),
    AGREE("F-21 an element closed twice", OPEN "<a/></a><b/></b>" CLOSE),
    AGREE("F-21 what is left of a stanza", OPEN "</body></a><b/>" CLOSE),
    AGREE("F-22 the end inside a stanza", OPEN "<a/><b>hi" CLOSE),
    AGREE("F-23 a lone continuation byte", OPEN "<a/><b>\x80</b>" CLOSE),
    AGREE("F-23 overlong", OPEN "<a/><b>\xc0\xaf</b>" CLOSE),
    AGREE("F-23 a surrogate", OPEN "<a/><b>\xed\xa0\x80</b>" CLOSE),
    AGREE("F-23 U+FFFF", OPEN "<a/><b>\xef\xbf\xbf</b>" CLOSE),
    AGREE("F-23 a control character", OPEN "<a/><b>\x01</b>" CLOSE),
    { "F-23 NUL", OPEN "<a/><b>\0</b>" CLOSE, sizeof(OPEN "<a/><b>\0</b>" CLOSE) - 1, NULL, GOES_ON, GOES_ON },
    AGREE("F-24 white space after the end", OPEN "<a/>" CLOSE "\n"),
    AGREE("F-25 junk after the end", OPEN "<a/>" CLOSE "junk"),
    AGREE("F-25 a stanza after the end", OPEN "<a/>" CLOSE "<b/>" CLOSE),
    { "F-26 the same attribute twice", OPEN "<a b='1' b='2'/>" CLOSE, 0, NAMESPACES, ENDS, REFUSES },
    { "F-26 an unbound prefix", OPEN "<p:a/>" CLOSE, 0, NAMESPACES, ENDS, REFUSES },
    AGREE("UTF-8 of every length", OPEN "<a b='\xc2\x80'>\xe2\x82\xac\xf0\x9f\x98\x80</a>" CLOSE),
    AGREE("names beyond ASCII", OPEN "<\xc3\xa4\xc2\xb7 \xc3\xb6='1'></\xc3\xa4\xc2\xb7>" CLOSE),
    AGREE("space in tags", OPEN "<a\n\tb = '1'\r\n c\n=\n\"2\" ><b /></a \n>" CLOSE),
    AGREE("deep nesting", OPEN "<a><b><c/><c><d></d></c></b></a><e></e>" CLOSE),
    AGREE("not over yet", OPEN "<a/><b>x</b"),
    AGREE("cut in the end tag", OPEN "<a/></s:"),
    AGREE("no space between attributes", OPEN "<b/><a b='1'c='2'/>" CLOSE),
    AGREE("no value", OPEN "<b/><a b/>" CLOSE),
    AGREE("mismatched inside", OPEN "<b/><a></b>" CLOSE),
#include "conformance.h"
};

/* Where things end, in bytes from the start. */
struct marks {
    size_t header, stanzas[32], end;
    int stanza_count, depth, refused;
    XML_Parser parser;
};

static size_t here(const struct marks *marks)
{
#if XML_MAJOR_VERSION * 1000 + XML_MINOR_VERSION >= 2009 /* whose expat.h warns of the older functions */
    return (size_t)XML_GetCurrentByteIndex64(marks->parser) + (size_t)XML_GetCurrentByteCount64(marks->parser);
#else
    return (size_t)XML_GetCurrentByteIndex(marks->parser) + (size_t)XML_GetCurrentByteCount(marks->parser);
#endif
}

static void XMLCALL start(void *userdata, const XML_Char *name, const XML_Char **attributes)
{
    struct marks *marks = userdata;
    (void)name, (void)attributes;
    if (marks->depth++ == 0)
        marks->header = here(marks);
}

static void XMLCALL end(void *userdata, const XML_Char *name)
{
    struct marks *marks = userdata;
    (void)name;
    marks->depth--;
    if (marks->depth == 1 && marks->stanza_count < 32)
        marks->stanzas[marks->stanza_count++] = here(marks);
    if (marks->depth == 0) {
        marks->end = here(marks);
        XML_StopParser(marks->parser, XML_FALSE); /* what follows does not matter */
    }
}

static enum verdict verdict(const struct marks *marks)
{
    return marks->end > 0 ? ENDS : marks->refused ? REFUSES : GOES_ON;
}

static void ask_expat(const char *xml, size_t len, size_t first, size_t piece, struct marks *marks)
{
    memset(marks, 0, sizeof *marks);
    marks->parser = XML_ParserCreateNS(NULL, '|');
    if (marks->parser == NULL)
        check_fatal("XML_ParserCreateNS");
#if HAVE_DECL_XML_SETREPARSEDEFERRALENABLED
    /* Without this, expat may keep a closing tag that came in two pieces until more comes, and nothing will come. */
    XML_SetReparseDeferralEnabled(marks->parser, XML_FALSE);
#endif
    XML_SetUserData(marks->parser, marks);
    XML_SetElementHandler(marks->parser, start, end);
    while (len > 0 && marks->end == 0 && !marks->refused) {
        size_t take = first > 0 ? first : piece;
        take = take < len ? take : len;
        marks->refused = XML_Parse(marks->parser, xml, (int)take, 0) != XML_STATUS_OK && marks->end == 0;
        xml += take;
        len -= take;
        first = 0;
    }
    XML_ParserFree(marks->parser);
}

static void ask_framer(const char *xml, size_t len, size_t first, size_t piece, struct marks *marks)
{
    xmpp_close_framer *framer = NULL;
    size_t at = 0, limit = first > 0 ? first : piece;
    memset(marks, 0, sizeof *marks);
    CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
    while (at < len && marks->end == 0 && !marks->refused) {
        size_t consumed = 0;
        int frame;
        limit = limit < len ? limit : len;
        frame = xmpp_close_framer_next(framer, xml + at, limit - at, &consumed, NULL, NULL);
        at += consumed;
        if (frame == XMPP_CLOSE_FRAME_HEADER)
            marks->header = at;
        else if (frame == XMPP_CLOSE_FRAME_STANZA && marks->stanza_count < 32)
            marks->stanzas[marks->stanza_count++] = at;
        else if (frame == XMPP_CLOSE_FRAME_END)
            marks->end = at;
        else if (frame != XMPP_CLOSE_FRAME_MORE)
            marks->refused = 1;
        else
            limit += piece;
        /* The end of an empty root needs no further byte. */
        if (at == len && frame == XMPP_CLOSE_FRAME_HEADER &&
            xmpp_close_framer_next(framer, NULL, 0, &consumed, NULL, NULL) == XMPP_CLOSE_FRAME_END)
            marks->end = at;
    }
    xmpp_close_framer_free(framer);
}

static int compare(const struct sample *sample, size_t len, size_t first, size_t piece)
{
    struct marks framer, expat;
    int ok = 1, i, both;
    ask_framer(sample->xml, len, first, piece, &framer);
    ask_expat(sample->xml, len, first, piece, &expat);
    if (sample->differs != NULL) {
        ok &= CHECK_INT(verdict(&framer), sample->framer);
        ok &= CHECK_INT(verdict(&expat), sample->expat);
    } else {
        ok &= CHECK_INT(verdict(&framer), verdict(&expat));
        ok &= CHECK_INT(framer.end, expat.end);
        ok &= CHECK_INT(framer.stanza_count, expat.stanza_count);
    }
    ok &= CHECK(framer.header == expat.header || sample->differs != NULL);
    both = framer.stanza_count < expat.stanza_count ? framer.stanza_count : expat.stanza_count;
    for (i = 0; i < both; i++)
        ok &= CHECK_INT(framer.stanzas[i], expat.stanzas[i]);
    return ok;
}

TEST(the_framer_agrees_with_expat_at_every_split)
{
    size_t i, split;
    for (i = 0; i < sizeof samples / sizeof *samples; i++) {
        const struct sample *sample = &samples[i];
        size_t len = sample->len > 0 ? sample->len : strlen(sample->xml);
        int ok = compare(sample, len, 0, len) & compare(sample, len, 0, 1);
        for (split = 1; split < len && ok; split++)
            ok &= compare(sample, len, split, len);
        if (!ok)
            printf("  the sample was: %s\n", sample->name);
    }
}
