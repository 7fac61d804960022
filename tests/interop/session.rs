//! Streams that need more than a plain login: STARTTLS, components, other servers, a resource of one's choice.

use std::{net::TcpStream, process::Command};

use xmpp_close::{
    CloseOptions, Incoming, Stanza, Stream, Transport,
    xml::{EventReader, XmlEvent},
};

use crate::{
    client::{USUAL, attribute, connect},
    daemon::{COMPONENT, DOMAIN, PASSWORD, PATIENCE, run},
    login,
    servers::Server,
};

/// Sends a header, and returns the one that comes back.
pub fn open<T: Transport>(stream: &mut Stream<T>, attributes: &str) -> Result<String, String> {
    send(stream, &format!("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"))?;
    match stream.receive_within(PATIENCE).map_err(|error| error.to_string())? {
        Incoming::Header(header) => Ok(header),
        other => Err(format!("{other:?} instead of a header")),
    }
}

pub fn send<T: Transport>(stream: &mut Stream<T>, xml: &str) -> Result<(), String> {
    stream.send(xml).map_err(|error| error.to_string())
}

/// The next stanza, which must have this name.
pub fn expect<T: Transport>(stream: &mut Stream<T>, name: &str) -> Result<Stanza, String> {
    match stream.receive_within(PATIENCE).map_err(|error| error.to_string())? {
        Incoming::Stanza(stanza) if stanza.name() == name => Ok(stanza),
        other => Err(format!("{other:?} instead of <{name}/>")),
    }
}

/// Authenticates as alice on a stream whose features have come, and binds this resource.
fn become_alice<T: Transport>(stream: &mut Stream<T>, resource: &str) -> Result<String, String> {
    // "\0alice\0secret" in base64.
    send(stream, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>")?;
    expect(stream, "success")?;
    stream.restart();
    open(stream, &format!("xmlns='jabber:client' to='{DOMAIN}' version='1.0'"))?;
    expect(stream, "features")?;
    let resource = format!("<resource>{resource}</resource>");
    let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind>");
    send(stream, &format!("<iq type='set' id='bind'>{bind}</iq>"))?;
    let answer = expect(stream, "iq")?;
    let jid = login::texts(&answer, "jid").pop();
    jid.filter(|_| attribute(&answer, "type").as_deref() == Some("result")).ok_or_else(|| answer.to_string())
}

/// Has a second client of alice's ask for the resource of the first one, which ends the first one's stream.
pub fn take_resource(server: &dyn Server, jid: &str) {
    let resource = jid.split_once('/').expect("a full JID").1;
    // As for any login at jabberd2, see `log_in`.
    let mut tries = 20;
    while let Err(why) = try_take_resource(server, resource) {
        tries -= 1;
        assert!(tries > 0, "alice cannot log in a second time: {why}");
    }
}

fn try_take_resource(server: &dyn Server, resource: &str) -> Result<(), String> {
    let tcp = connect(server.c2s(), USUAL);
    let mut stream = login::open(tcp, DOMAIN, PATIENCE).map_err(|error| error.to_string())?.stream;
    let jid = become_alice(&mut stream, resource)?;
    assert!(jid.ends_with(resource), "{jid}");
    let report = stream.close(&CloseOptions::new()).map_err(|error| error.to_string())?;
    if report.is_clean() { Ok(()) } else { Err(report.to_string()) }
}

/// Opens an external component's stream (XEP-0114).
pub fn open_component(tcp: TcpStream) -> Result<Stream<TcpStream>, String> {
    let mut stream = Stream::new(tcp);
    let header = open(&mut stream, &format!("xmlns='jabber:component:accept' to='{COMPONENT}'"))?;
    let id = stream_id(&header).ok_or_else(|| format!("{header} without an id"))?;
    let hash = run(Command::new("sh").args(["-c", "printf %s \"$1\" | sha1sum", "sh", &format!("{id}{PASSWORD}")]));
    let hash = hash.split_whitespace().next().unwrap_or_default();
    send(&mut stream, &format!("<handshake>{hash}</handshake>"))?;
    expect(&mut stream, "handshake")?;
    Ok(stream)
}

fn stream_id(header: &str) -> Option<String> {
    EventReader::from_str(header).into_iter().find_map(|event| match event {
        Ok(XmlEvent::StartElement { attributes, .. }) => {
            attributes.into_iter().find(|attribute| attribute.name.local_name == "id").map(|attribute| attribute.value)
        }
        _ => None,
    })
}

/// Opens a stream as another server does, up to the features: what would follow is dialback.
pub fn open_as_server(server: &dyn Server) -> Stream<TcpStream> {
    let mut stream = Stream::new(connect(server.s2s(), USUAL));
    let namespaces = "xmlns='jabber:server' xmlns:db='jabber:server:dialback'";
    open(&mut stream, &format!("{namespaces} to='{DOMAIN}' from='peer.test' version='1.0'")).unwrap();
    expect(&mut stream, "features").unwrap();
    stream
}
