//! Which certificates the examples accept, and what they say when no stream could be opened.

use std::{
    io::{Read, Write},
    sync::mpsc,
    thread,
};

use openssl::ssl::Ssl;

use crate::{
    close::{Cell, HEADER, Listener, certificate, each, read_header, read_header_to},
    peer::TAG,
    program::{EXAMPLES, Output, Program},
    script::TlsPeer,
    setup::{self, NAME},
};

fn run(cell: Cell, arguments: &[&str], port: &str) -> Output {
    let mut command = cell.example.command(cell.variant);
    Program::start(command.args(arguments).args(["127.0.0.1", port]), mpsc::channel().0).wait()
}

fn assert_refused(output: &Output) {
    assert_eq!((output.code, output.lines.as_slice()), (Some(2), [].as_slice()), "{output:?}");
    assert_eq!(output.errors.lines().count(), 1, "one clear line: {output:?}");
}

#[test]
fn a_certificate_that_nobody_signed_is_refused_unless_any_is_accepted() {
    let certificate = certificate();
    let ca = certificate.to_str().unwrap();
    each(Cell::against_rustls(), |cell| {
        for (arguments, accepted) in [
            (&["--domain", NAME][..], false),
            (&["--ca", ca, "--domain", "another.test"], false),
            (&["--ca", ca, "--domain", NAME], true),
            (&["--insecure", "--domain", NAME], true),
        ] {
            let listener = Listener::new();
            let port = listener.port();
            let peer = thread::spawn(move || {
                let tcp = listener.accept();
                if accepted {
                    let mut peer = TlsPeer::accept(cell.case(), tcp, mpsc::channel().1);
                    read_header(&mut peer);
                    peer.send(HEADER).read_tag().send(TAG).notify().expect_notify_and_fin();
                } else {
                    let ssl: Ssl = setup::openssl(cell.version, false);
                    let mut session = openssl::ssl::SslStream::new(ssl, tcp).unwrap();
                    let mut got = Vec::new();
                    let _ = session.accept().map(|()| session.read_to_end(&mut got));
                    assert!(got.is_empty(), "XML for somebody else: {got:?}");
                }
            });
            let output = run(cell, arguments, &port);
            peer.join().unwrap();
            if accepted {
                assert_eq!((output.code, output.errors.as_str()), (Some(0), ""), "{arguments:?}: {output:?}");
            } else {
                assert_refused(&output);
                assert!(output.errors.contains("certificate"), "{arguments:?}: {output:?}");
            }
        }
    });
}

#[test]
fn what_is_no_xmpp_over_tls_gets_one_clear_line() {
    let nobody = Listener::new().port();
    for cell in Cell::all() {
        assert_refused(&run(cell, &["--insecure"], &nobody));
        assert_refused(&run(cell, &["--ca", "/nonexistent"], &nobody));

        // No TLS; and nothing at all.
        for says in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let listener = Listener::new();
            let port = listener.port();
            let peer = thread::spawn(move || {
                let mut tcp = listener.accept();
                tcp.write_all(says.as_bytes()).unwrap();
                let _ = tcp.shutdown(std::net::Shutdown::Write); // the program may be gone
                let _ = tcp.read_to_end(&mut Vec::new());
            });
            assert_refused(&run(cell, &["--insecure"], &port));
            peer.join().unwrap();
        }

        // No XMPP; and the end before it.
        for says in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
            let listener = Listener::new();
            let port = listener.port();
            let peer = thread::spawn(move || {
                let mut peer = TlsPeer::accept(cell.case(), listener.accept(), mpsc::channel().1);
                read_header_to(&mut peer, "localhost");
                peer.send(says).notify();
                let _ = peer.read_below();
            });
            assert_refused(&run(cell, &["--insecure"], &port));
            peer.join().unwrap();
        }
    }
}

#[test]
fn arguments_that_are_not_understood_are_answered_by_the_usage() {
    for example in EXAMPLES {
        let cell = Cell { example, ..Cell::all()[0] };
        for arguments in [&["--ca"][..], &["--total", "soon"], &["--unknown"], &["a", "b"]] {
            let output = run(cell, arguments, "1");
            assert_eq!((output.code, output.lines.len()), (Some(2), 0), "{output:?}");
            assert!(output.errors.starts_with("usage: "), "{arguments:?}: {output:?}");
        }
    }
}
