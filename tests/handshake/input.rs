//! What comes in, for an engine that parses the peer's bytes itself.

use xmpp_close::{CloseOptions, Engine, Fact, Found, Tls, xml::XmlEvent};

use crate::stream::secs;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const CONFLICT: &str = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";

fn engine(options: &CloseOptions) -> Engine {
    Engine::new(options, Tls::No).unwrap()
}

/// What is found in it, in words.
fn input(engine: &mut Engine, bytes: &str) -> Vec<String> {
    let (mut rest, mut found) = (bytes.as_bytes(), Vec::new());
    while let Some(one) = engine.input(&mut rest, secs(1)) {
        found.push(match one {
            Found::Header(tag) => format!("header {tag}"),
            Found::Stanza(stanza) => stanza.to_string(),
            Found::Oversize(length) => format!("oversize {length}"),
            Found::StreamError(error) => format!("error {}", error.condition()),
            Found::PeerClosed => "end".into(),
            Found::Malformed(why) => format!("malformed {}", why.condition()),
            other => panic!("{other:?}"),
        });
    }
    assert!(rest.is_empty());
    found
}

#[test]
fn stanzas_and_the_end_are_found_however_they_are_cut() {
    let all = "<message><body>ä</body></message> <iq/></stream:stream>";
    for cut in (0..=all.len()).filter(|at| all.is_char_boundary(*at)) {
        let mut engine = engine(&CloseOptions::new());
        let found = [input(&mut engine, &all[..cut]), input(&mut engine, &all[cut..])].concat();
        assert_eq!(found, ["<message><body>ä</body></message>", "<iq/>", "end"]);
        assert!(engine.wants().answer() && !engine.is_inside());
        assert_eq!(input(&mut engine, "<b/>"), [""; 0], "behind its tag all is discarded");
        let report = engine.report();
        assert_eq!((report.stanzas, report.bytes_after_tag), (0, 4), "before the close nothing is counted");
    }
}

#[test]
fn an_end_is_inside_an_element_or_between_two() {
    let mut engine = engine(&CloseOptions::new());
    for (bytes, inside) in [("", false), ("<a>", true), ("<b/>", true), ("</a>", false), (" ", false), ("<", true)] {
        let _ = input(&mut engine, bytes);
        assert_eq!(engine.is_inside(), inside, "{bytes:?}");
    }
}

#[test]
fn what_is_too_large_is_passed_over() {
    let mut engine = engine(&CloseOptions::new().stanza_limit(10_000));
    engine.finish(None, secs(1));
    let large = format!("<a>{}</a>", "x".repeat(10_000));
    assert_eq!(input(&mut engine, &(large + "<b/>")), ["oversize 10007", "<b/>"]);
    assert_eq!((engine.report().oversize, engine.report().stanzas), (1, 1));
}

#[test]
fn the_root_is_named_as_the_peers_header_or_our_closing_tag_says() {
    let ours = CloseOptions::new().closing_tag("</s:flow>");
    assert_eq!(input(&mut engine(&ours), "</x:flow>"), ["end"], "under any prefix");
    assert_eq!(input(&mut engine(&ours), "</stream:stream>"), ["malformed not-well-formed"]);
    assert_eq!(input(&mut engine(&CloseOptions::new()), "</stream>"), ["end"]);
    let theirs = CloseOptions::new().peer_header("<f:stream xmlns:f='http://etherx.jabber.org/streams'>");
    assert_eq!(input(&mut engine(&theirs), "</stream:stream>"), ["malformed not-well-formed"]);
    assert_eq!(input(&mut engine(&theirs), "</f:stream>"), ["end"]);
    let error = format!("<f:error>{CONFLICT}</f:error>");
    assert_eq!(input(&mut engine(&theirs), &error), ["error conflict"]);
    assert_eq!(input(&mut engine(&CloseOptions::new()), &error), [error], "a prefix of which nobody knows");
    for no_tag in ["<a/>", "<a></a>", "<a> ", "a"] {
        assert!(Engine::new(&CloseOptions::new().peer_header(no_tag), Tls::No).is_err(), "{no_tag}");
    }
}

#[test]
fn a_stanza_knows_the_namespaces_of_the_header() {
    let mut engine = engine(&CloseOptions::new());
    engine.tell(Fact::Restarted { tls: Tls::No }, secs(1)).unwrap();
    assert_eq!(input(&mut engine, HEADER), [format!("header {HEADER}")]);
    let mut data: &[u8] = b"<message/>";
    let Some(Found::Stanza(stanza)) = engine.input(&mut data, secs(1)) else { panic!("no stanza") };
    let name = stanza.reader().into_iter().find_map(|event| match event.unwrap() {
        XmlEvent::StartElement { name, .. } => Some(name),
        _ => None,
    });
    let name = name.unwrap();
    assert_eq!((name.namespace.as_deref(), &*name.local_name), (Some("jabber:client"), "message"));
}

#[test]
fn what_is_no_stream_is_told_so_in_front_of_our_tag() {
    for (bytes, why) in [("</b>", "not-well-formed"), ("<!-- x -->", "restricted-xml")] {
        let mut engine = engine(&CloseOptions::new());
        assert_eq!(input(&mut engine, &format!("<a/>{bytes}<c/>")), ["<a/>".into(), format!("malformed {why}")]);
        let said = String::from_utf8(engine.output().to_vec()).unwrap();
        assert!(said.starts_with(&format!("<stream:error><{why} ")) && said.ends_with("</stream:stream>"), "{said}");
    }
}
