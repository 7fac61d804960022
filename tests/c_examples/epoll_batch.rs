//! `epoll_batch`: a live batch beside what a program's own epoll loop does.

use std::thread;

use crate::{
    client::{Client, HEADER, TAG, message},
    programs::{Server, VARIANTS, Variant, command},
};

const MOVED: &str = "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>new.example.org\
                     </see-other-host></stream:error></stream:stream>";

fn start(variant: Variant) -> Server {
    let mut command = command("epoll_batch", variant);
    command.args(["0", "new.example.org", "100000"]); // seconds: whoever is slow in a test is not late
    Server::listening("epoll_batch", command)
}

/// The client ends TCP, and its stream has ended well.
fn assert_ends_clean(server: &Server, mut client: Client) {
    assert_eq!(client.read_to_end(), "");
    let start = format!("[{}] clean: ", client.number);
    drop(client);
    server.wait_for(&start, |line| line.starts_with(&start));
}

/// Reads what a client is told, up to our tag.
fn read_that_it_moved(client: &mut Client) {
    client.read_start();
    assert_eq!(client.read_until(TAG), MOVED);
}

fn late(server: &Server, number: u32) -> Vec<String> {
    let start = format!("[{number}] late: ");
    server.lines().iter().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

/// Clients come and are told while others are still to answer, and no late stanza is lost.
#[test]
fn the_loop_goes_on_while_the_batch_closes() {
    for variant in VARIANTS {
        let server = start(variant);
        let silent = Client::connect(server.port);
        let mut slow: Vec<Client> = (0..20).map(|_| Client::connect(server.port)).collect();
        for client in &mut slow {
            client.send(HEADER);
            read_that_it_moved(client);
        }
        let mut quick = Client::connect(server.port);
        quick.send(&format!("{HEADER}{}{TAG}", message("quick")));
        read_that_it_moved(&mut quick);
        let number = quick.number;
        assert_ends_clean(&server, quick);
        assert_eq!(late(&server, number), [message("quick")]);
        silent.assert_silence();
        for mut client in slow {
            let number = client.number;
            client.send(&format!("{}{}{TAG}", message(1), message(2)));
            assert_ends_clean(&server, client);
            assert_eq!(late(&server, number), [message(1), message(2)]);
        }
        // SIGTERM ends the streams whose clients have said nothing, too.
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut silent = silent;
                read_that_it_moved(&mut silent);
                silent.send(&format!("{HEADER}{TAG}"));
                assert_eq!(silent.read_to_end(), "");
            });
            let lines = server.stop();
            let clean = lines.iter().filter(|line| line.contains("] clean: ")).count();
            assert_eq!(clean, 22, "{variant:?}: {lines:#?}");
        });
    }
}
