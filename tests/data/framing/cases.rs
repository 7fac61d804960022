//! The framing cases F-01 to F-30 of docs/requirements.md, and the grammar around them.
//!
//! Elsewhere: F-10 and F-11 (every case, cut everywhere), F-17, F-27 and F-28 are tests of their own in tests/framing;
//! F-29 (compression) is below the framer, in what feeds it; F-30 (stream errors) is in src/xml.rs.

use super::Seen::{self, *};
use xmpp_close::Malformed::{self, *};

/// One input and what the framer must see in it, however it is cut.
pub(crate) struct Case {
    pub id: &'static str,
    pub input: Vec<u8>,
    pub seen: Vec<Seen>,
    /// What is left of the input when the stream is over.
    pub left: &'static str,
    pub stray: u64,
    /// Why the `xml` crate sees it differently, where it does.
    pub differs: Option<&'static str>,
}

/// A root that is short enough to try every pair of cuts; its namespace is bound, for the `xml` crate's sake.
const ROOT: &str = "<s:s xmlns:s='n'>";
const END: &str = "</s:s>";

const RESTRICTED: &str = "RFC 6120 section 11.1 forbids what XML allows";
const NAMESPACES: &str = "F-26: the framer does not look at namespaces or for duplicates";
const LENIENT: &str = "the xml crate lets it pass, the XML recommendation does not";

fn case(id: &'static str, input: impl Into<Vec<u8>>, seen: Vec<Seen>) -> Case {
    Case { id, input: input.into(), seen, left: "", stray: 0, differs: None }
}

impl Case {
    fn left(self, left: &'static str) -> Self {
        Self { left, ..self }
    }
    fn stray(self, stray: u64) -> Self {
        Self { stray, ..self }
    }
    fn differs(self, why: &'static str) -> Self {
        Self { differs: Some(why), ..self }
    }
}

/// `inner` between the tags of a root, of which the framer sees `stanzas`, and then the end.
fn inside(id: &'static str, inner: &str, stanzas: &[&str]) -> Case {
    let seen = stanzas.iter().map(|stanza| Stanza((*stanza).into()));
    case(id, [ROOT, inner, END].concat(), [Header(ROOT.into())].into_iter().chain(seen).chain([End]).collect())
}

/// One legal stanza.
fn legal(id: &'static str, stanza: &str) -> Case {
    inside(id, stanza, &[stanza])
}

/// `inner` within a root, where the framer gives up.
fn illegal(id: &'static str, inner: impl AsRef<[u8]>, why: Malformed) -> Case {
    let input = [ROOT.as_bytes(), inner.as_ref(), END.as_bytes()].concat();
    case(id, input, vec![Header(ROOT.into()), Bad(why)])
}

/// A document that is over before it begins.
fn refused(id: &'static str, input: impl Into<Vec<u8>>, why: Malformed) -> Case {
    case(id, input, vec![Bad(why)])
}

/// A declaration, or whatever may stand before the root.
fn prolog(id: &'static str, prolog: &str) -> Case {
    case(id, [prolog, ROOT, "<a/>", END].concat(), vec![Header(ROOT.into()), Stanza("<a/>".into()), End])
}

pub(crate) fn all() -> Vec<Case> {
    [
        names_of_the_root(),
        markup_that_hides_a_tag(),
        prologs(),
        references(),
        ends(),
        characters(),
        tags(),
        ends_that_are_none(),
    ]
    .concat()
}

impl Clone for Case {
    fn clone(&self) -> Self {
        Self { input: self.input.clone(), seen: self.seen.clone(), ..*self }
    }
}

fn names_of_the_root() -> Vec<Case> {
    let document = |id, start: &str, end: &str| {
        let seen = vec![Header(start.into()), Stanza("<a xmlns='x'/>".into()), End];
        case(id, [start, "<a xmlns='x'/>", end].concat(), seen)
    };
    let usual = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let seen = |last| vec![Header("<s:s xmlns:s='n'>".into()), Stanza("<a/>".into()), last];
    vec![
        document("the usual stream", usual, "</stream:stream>"),
        document(
            "F-01 another prefix",
            "<foobar:stream xmlns:foobar='http://etherx.jabber.org/streams'>",
            "</foobar:stream>",
        ),
        document("F-02 no prefix", "<stream xmlns='http://etherx.jabber.org/streams'>", "</stream>"),
        document("F-03 space in the end tag", ROOT, "</s:s \t\r\n>"),
        document("a root beyond ASCII", "<ströme>", "</ströme>"),
        case("F-04 space before the name", "<s:s xmlns:s='n'><a/></ s:s>", seen(Bad(NotWellFormed))),
        case("F-04 space in the name", "<s:s xmlns:s='n'><a/></s :s>", seen(Bad(NotWellFormed))),
        case("F-04 an attribute", "<s:s xmlns:s='n'><a/></s:s a='b'>", seen(Bad(NotWellFormed))),
        case("F-05 an empty root", "<s:s xmlns:s='n'/>", vec![Header("<s:s xmlns:s='n'/>".into()), End]),
        case("F-05 with more behind", "<s xmlns='n' />x", vec![Header("<s xmlns='n' />".into()), End]).left("x"),
        case("F-21 no prefix", "<s:s xmlns:s='n'><a/></s>", seen(Bad(NotWellFormed))),
        case("F-21 another case", "<s:s xmlns:s='n'><a/></S:s>", seen(Bad(NotWellFormed))),
        case("F-21 more of it", "<s:s xmlns:s='n'><a/></s:ss >", seen(Bad(NotWellFormed))),
        case("F-21 beyond ASCII", "<ströme></strême>", vec![Header("<ströme>".into()), Bad(NotWellFormed)]),
        case("F-21 and no name either", "<s:s xmlns:s='n'><a/></s:1>", seen(Bad(NotWellFormed))),
        case("F-21 and not well-formed", "<s:s xmlns:s='n'><a/></1s>", seen(Bad(NotWellFormed))),
    ]
}

fn markup_that_hides_a_tag() -> Vec<Case> {
    vec![
        legal("F-06 CDATA", "<a><![CDATA[</s:s></a>]]></a>"),
        legal("F-06 CDATA and brackets", "<a><![CDATA[]]]]]></a>"),
        legal("F-06 CDATA: nothing is special", "<a><![CDATA[&<!--]>]] ></a>]]></a>"),
        legal("F-06 empty CDATA", "<a><![CDATA[]]>]<![CDATA[]]>]></a>"),
        inside("F-06 CDATA between stanzas", "<![CDATA[</s:s>]]><a/>", &["<a/>"]).stray(18),
        illegal("F-06 no CDATA", "<a><![CDATE[]]></a>", NotWellFormed),
        illegal("F-06 no CDATA", "<![cdata[]]>", NotWellFormed),
        illegal("F-07 comment in a stanza", "<a><!--</s:s>--></a>", RestrictedXml).differs(RESTRICTED),
        illegal("F-07 comment between stanzas", "<!--</s:s>-->", RestrictedXml).differs(RESTRICTED),
        illegal("F-07 instruction in a stanza", "<a><?p </s:s>?></a>", RestrictedXml).differs(RESTRICTED),
        illegal("F-07 instruction between stanzas", "<?x?>", RestrictedXml).differs(RESTRICTED),
        illegal("F-08 < in a value", "<a b='</s:s>'/>", NotWellFormed).differs(LENIENT),
        illegal("F-08 < in a value", "<a b=\"<\"/>", NotWellFormed),
        legal("F-09 > in values and text", "<a b='>' c=\"/>\" d='\"' e=\"'\"> > /> ' \" </a>"),
        legal("F-09 brackets", "<a>]] ]]&gt; ]] > ]&#62; ]></a>"),
        illegal("F-09 ]]> in text", "<a>]]></a>", NotWellFormed),
        illegal("F-09 ]]]> in text", "<a>]]]></a>", NotWellFormed),
        illegal("F-09 ]]> between stanzas", "]]>", NotWellFormed),
        legal("F-09 ]]> in a value", "<a b=']]>'/>"),
        inside("F-13 U+FEFF between stanzas", "<a/>\u{feff}<b/>", &["<a/>", "<b/>"]).stray(3),
        illegal("F-14 DTD in a stanza", "<a><!DOCTYPE a></a>", RestrictedXml),
        illegal("F-14 entity between stanzas", "<!ENTITY a 'b'>", RestrictedXml),
        illegal("F-14 what no DTD has either", "<!>", NotWellFormed),
        illegal("F-16 declaration between stanzas", "<?xml version='1.0'?>", NotWellFormed),
        illegal("F-16 declaration in a stanza", "<a><?xml version='1.0'?></a>", NotWellFormed),
        legal("F-19 an element named like the root", "<a><s:s/><s:s></s:s></a>"),
        legal("F-19 and at depth 1", "<s:s><s:s/></s:s>"),
        inside("F-20 space between stanzas", " \t\r\n<a/>\n<b> </b> ", &["<a/>", "<b> </b>"]),
        inside("F-20 text between stanzas", "x <a/> ]]&lt;é&#x1F600;", &["<a/>"]).stray(1 + 2 + 4 + 2 + 9),
        illegal("F-22 the end inside a stanza", "<a><b>hi", NotWellFormed),
    ]
}

fn prologs() -> Vec<Case> {
    let doctype = "<!DOCTYPE s [<!ENTITY a 'b'>]><s/>";
    vec![
        prolog("no declaration", ""),
        prolog("declaration", "<?xml version='1.0'?>"),
        prolog("declaration and space", "<?xml version=\"1.0\" ?>\r\n"),
        prolog("declaration with everything", "<?xml\nversion = '1.0'\tencoding = \"UTF-8\" standalone='yes' ?>"),
        prolog("space without declaration", " \n\t"),
        prolog("F-12 byte order mark", "\u{feff}").stray(3),
        prolog("F-12 byte order mark and declaration", "\u{feff}<?xml version='1.0'?>").stray(3),
        prolog("F-12 byte order mark and space", "\u{feff} ").stray(3),
        refused("F-12 two of them", "\u{feff}\u{feff}<s/>", NotWellFormed),
        refused("F-12 not at the start", " \u{feff}<s/>", NotWellFormed),
        refused("F-12 after the declaration", "<?xml version='1.0'?>\u{feff}<s/>", NotWellFormed),
        refused("F-07 comment", "<!-- --><s/>", RestrictedXml).differs(RESTRICTED),
        refused("F-07 instruction", "<?p?><s/>", RestrictedXml).differs(RESTRICTED),
        refused("F-07 a target that begins with xml", "<?xml-s x='y'?><s/>", RestrictedXml).differs(RESTRICTED),
        refused("F-07 a target like xml", "<?XML version='1.0'?><s/>", RestrictedXml),
        refused("F-14 DTD", doctype, RestrictedXml).differs(RESTRICTED),
        refused("F-16 second declaration", "<?xml version='1.0'?><?xml version='1.0'?><s/>", NotWellFormed),
        refused("F-16 space first", " <?xml version='1.0'?><s/>", NotWellFormed),
        prolog("F-18 UTF-8", "<?xml version='1.0' encoding='utf-8'?>"),
        prolog("F-18 standalone is ignored", "<?xml version='1.0' standalone='no'?>"),
        refused("F-18 Latin-1", "<?xml version='1.0' encoding='ISO-8859-1'?><s/>", UnsupportedEncoding).differs("F-18"),
        refused("F-18 UTF-16", "<?xml version='1.0' encoding='UTF-16'?><s/>", UnsupportedEncoding),
        refused("F-18 no such thing", "<?xml version='1.0' encoding='x'?><s/>", UnsupportedEncoding),
        refused("F-18 no encoding name", "<?xml version='1.0' encoding='8'?><s/>", NotWellFormed),
        refused("declaration without version", "<?xml?><s/>", NotWellFormed),
        refused("declaration without version", "<?xml encoding='UTF-8'?><s/>", NotWellFormed),
        refused("declaration in disorder", "<?xml encoding='UTF-8' version='1.0'?><s/>", NotWellFormed),
        refused("declaration without space", "<?xml version='1.0'encoding='UTF-8'?><s/>", NotWellFormed),
        refused("declaration of a future", "<?xml version='2.0'?><s/>", NotWellFormed),
        refused("declaration with more", "<?xml version='1.0' a='b'?><s/>", NotWellFormed),
        refused("declaration cut short", "<?xml version='1.0'><s/>", NotWellFormed),
        refused("standalone perhaps", "<?xml version='1.0' standalone='x'?><s/>", NotWellFormed),
        refused("form feed", "<?xml\u{c}version='1.0'?><s/>", NotWellFormed),
        refused("text before the root", "x<s/>", NotWellFormed),
        refused("reference before the root", "&#32;<s/>", NotWellFormed),
        refused("CDATA before the root", "<![CDATA[]]><s/>", NotWellFormed),
        refused("an end tag first", "</s><s/>", NotWellFormed),
    ]
}

fn references() -> Vec<Case> {
    let mut cases = vec![
        legal("F-15 predefined", "<a b='&lt;&gt;&amp;&quot;&apos;'>&lt;/s:s>&gt;&amp;&quot;&apos;</a>"),
        legal(
            "F-15 numeric",
            "<a b='&#9;&#x1F600;'>&#65;&#x00000000041;&#0000000000065;&#xfffD;&#xE000;&#x10ffff;</a>",
        ),
    ];
    for reference in ["&foo;", "&l;", "&ltt;", "&ampersand;", "&é;", "&_1;"] {
        cases.push(illegal("F-15 in text", format!("<a>{reference}</a>"), RestrictedXml));
        cases.push(illegal("F-15 in a value", format!("<a b='{reference}'/>"), RestrictedXml));
        cases.push(illegal("F-15 between stanzas", reference, RestrictedXml));
    }
    for reference in ["&;", "& ", "&lt ", "&lt</a>", "&#;", "&#x;", "&#X41;", "&#a;", "&#xg;", "&#6 5;", "&#-1;", "&1;"]
    {
        cases.push(illegal("F-15 no reference", format!("<a>{reference}</a>"), NotWellFormed));
        cases.push(illegal("F-15 no reference", format!("<a b='{reference}'/>"), NotWellFormed));
    }
    for number in ["0", "8", "x1f", "xD800", "xdfff", "xFFFE", "xFFFF", "x110000", "99999999999999999999", "x100000041"]
    {
        cases.push(illegal("F-15 no character", format!("<a>&#{number};</a>"), NotWellFormed));
    }
    cases.push(illegal("F-15 no sign", "<a>&#+65;</a>", NotWellFormed));
    cases
}

fn ends() -> Vec<Case> {
    let mut cases = Vec::new();
    for left in ["\n", "x", "<a/>", "</s:s>", "<!-- -->", "<?xml version='1.0'?>", "\0", "<", "&"] {
        let id = if left == "\n" { "F-24 space after the end" } else { "F-25 anything after the end" };
        cases.push(case(id, [ROOT, END, left].concat(), vec![Header(ROOT.into()), End]).left(left));
    }
    cases.push(case("F-10 nothing yet", "", vec![]));
    cases.push(case("F-10 cut in the root", "<s:s xmlns:s='n'", vec![]));
    cases.push(case("F-10 cut in a stanza", "<s><a/><b>x</b", vec![Header("<s>".into()), Stanza("<a/>".into())]));
    cases.push(case("F-10 cut in the end tag", "<s><a/></s", vec![Header("<s>".into()), Stanza("<a/>".into())]));
    cases
}

fn characters() -> Vec<Case> {
    let mut cases = vec![
        legal(
            "every length of UTF-8",
            "<a b='\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}'>é€😀\u{fffd}</a>",
        ),
        legal("white space and DEL", "<a b='\t\r\n\u{7f}'>\t\r\n\u{7f}\u{85}</a>"),
        inside(
            "beyond ASCII in names",
            "<ä·1 ö='1'></ä·1><\u{10000}:é xmlns:\u{10000}='n'/>",
            &["<ä·1 ö='1'></ä·1>", "<\u{10000}:é xmlns:\u{10000}='n'/>"],
        ),
        illegal("no name", "<a×/>", NotWellFormed),
        illegal("no name", "<·a/>", NotWellFormed),
        illegal("no attribute's name", "<a ·='1'/>", NotWellFormed),
        illegal("no name of an end tag", "<é></è>", NotWellFormed),
    ];
    let broken: [&[u8]; 18] = [
        b"\x80",
        b"\xbf",
        b"\xc3",
        b"\xc3\xc3",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\xaf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"\xfe",
        b"\0",
        b"\x0b",
        b"\x1f",
    ];
    let noncharacters: [&[u8]; 2] = [b"\xef\xbf\xbe", b"\xef\xbf\xbf"];
    for bytes in broken.into_iter().chain(noncharacters) {
        let wrap = |before: &str, after: &str| [before.as_bytes(), bytes, after.as_bytes()].concat();
        let places = [
            ("F-23 in text", wrap("<a>x", "y</a>")),
            ("F-23 in a value", wrap("<a b='x", "y'/>")),
            ("F-23 in CDATA", wrap("<a><![CDATA[x", "y]]></a>")),
            ("F-23 in a name", wrap("<a", "b/>")),
            ("F-23 in an attribute's name", wrap("<a b", "c='1'/>")),
            ("F-23 between stanzas", wrap("x", "y")),
            ("F-23 in a reference", wrap("<a>&x", ";</a>")),
        ];
        cases.extend(places.map(|(id, inner)| illegal(id, inner, NotWellFormed)));
        cases.push(refused("F-23 before the root", wrap("", "<s/>"), NotWellFormed));
        cases.push(refused("F-23 in the declaration", wrap("<?xml version='1.0", "'?><s/>"), NotWellFormed));
    }
    cases
}

fn tags() -> Vec<Case> {
    let mut cases = vec![
        legal("a real stanza", "<message from='a@b/c' to=\"d\" id='1'><body>hi</body><x xmlns='y'/></message>"),
        legal("space in tags", "<a\n\tb = '1'\r\n c\n=\n\"2\" ><b /></a \n>"),
        legal("names", "<_a.-9 b.-9='1'></_a.-9>"),
        legal("nesting", "<a><b><c/><c><d></d></c></b></a>"),
        legal("F-26 the same attribute twice", "<a b='1' b='2'/>").differs(NAMESPACES),
        legal("F-26 an unbound prefix", "<p:a/>").differs(NAMESPACES),
        legal("F-26 a colon first", "<:a/>").differs(NAMESPACES),
    ];
    let illegal_tags = [
        "< a/>",
        "<>",
        "</>",
        "<1/>",
        "<-a/>",
        "<.a/>",
        "<a b/>",
        "<a b=1/>",
        "<a b='1'c='2'/>",
        "<a b='1\"/>",
        "<a / >",
        "<a/ >",
        "<a//>",
        "<a 'b'/>",
        "<a =''/>",
        "<a b=''=''/>",
        "<a b c=''/>",
        "<a b'=1'/>",
        "<a b==''/>",
        "<a 1b=''/>",
        "<a<b/></a>",
        "<a></b>",
        "<a></ab>",
        "<ab></a>",
        "<a><b></a></b>",
        "<a></a/>",
        "<a></a b>",
        "<a></ a>",
        "<a></A>",
        "<a><",
        "<a></a",
        "<a b=''/b>",
        "<a,b/>",
        "<a;/>",
        "<a@b/>",
        "<a b$=''/>",
        "<a/><>",
    ];
    for tag in illegal_tags {
        let mut case = illegal("no tag", tag, NotWellFormed);
        if tag == "<a b='1\"/>" {
            case = case.differs(LENIENT); // it finds no end of the value in </s:s>
        }
        if tag == "<a/><>" {
            case.seen.insert(1, Stanza("<a/>".into()));
        }
        cases.push(case);
    }
    cases
}

fn ends_that_are_none() -> Vec<Case> {
    let broken = |id, stanzas: &[&str], tag| {
        let mut seen = vec![Header(ROOT.into())];
        seen.extend(stanzas.iter().map(|xml| Stanza((*xml).into())));
        seen.push(Bad(NotWellFormed));
        case(id, [ROOT, &stanzas.concat(), tag, "<b/>", END].concat(), seen)
    };
    vec![
        broken("F-21 nothing was open", &[], "</x>"),
        broken("F-21 an element closed twice", &["<a/>"], "</a>"),
        broken("F-21 an element closed twice", &["<a><b/></a>", "<c></c>"], "</c >"),
        broken("F-21 what is left of a stanza", &[], "</b></a>"),
    ]
}
