//! The blocking close over real sockets.
use std::{io::{Read, Write}, os::unix::net::UnixStream, net::{TcpListener, TcpStream}, thread, time::Duration};
use xmpp_close::{CloseOptions, Outcome};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

#[test]
fn late_stanzas_arrive_in_order() {
    let (ours, mut theirs) = pair();
    let peer = thread::spawn(move || {
        let mut got = [0; 16];
        theirs.read_exact(&mut got).unwrap();
        for n in 0..100_000 { write!(theirs, "<message id='{n}'/>").unwrap(); }
        theirs.write_all(b"</stream:stream>").unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    });
    let mut closing = CloseOptions::new().begin(ours).unwrap();
    let mut n = 0;
    for stanza in &mut closing {
        assert_eq!(stanza.as_str(), format!("<message id='{n}'/>"));
        n += 1;
    }
    assert_eq!(n, 100_000);
    let report = closing.finish();
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    peer.join().unwrap();
}

#[test]
fn a_silent_peer_times_out() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let report = CloseOptions::new().total(Duration::from_millis(300)).close(ours).unwrap();
    assert_eq!(report.outcome, Outcome::TimedOut, "{report}");
    assert!(report.elapsed < Duration::from_millis(1300));
}
