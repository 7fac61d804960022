//! Each mistake of a program is told by a reason of its own, which the program can match.

#[path = "support/local.rs"]
mod local;

use std::{
    collections::HashSet,
    io::{self, Read},
    time::Duration,
};

use local::{Local, pair};
use xmpp_close::{
    BorrowedSocket, CloseOptions, Condition, Engine, Error, Fact, Interest, Invalid, Report, Stream, StreamError, Tls,
    Transport,
};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn reason<T>(result: Result<T, Error>) -> Invalid {
    match result {
        Err(Error::Invalid(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// The reason for which a close with these options does not begin. Nothing was sent then.
fn refused(options: CloseOptions, end: fn(&CloseOptions, Local) -> Result<Report, Error>) -> Invalid {
    let (ours, peer) = pair();
    let why = reason(end(&options, ours));
    assert_eq!((&peer).read(&mut [0]).unwrap(), 0, "{why}: the end, without a byte before it");
    why
}

fn all_differ(reasons: &[Invalid]) {
    let sentences: HashSet<_> = reasons.iter().map(Invalid::to_string).collect();
    assert_eq!(sentences.len(), reasons.len(), "{sentences:?}");
    for sentence in sentences {
        assert!(sentence.starts_with(char::is_lowercase) && !sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn options_that_make_no_sense_are_told_apart() {
    let new = CloseOptions::new;
    let reset = || StreamError::new(Condition::Reset).unwrap();
    let begin = |options| refused(options, |options, ours| options.close(ours));
    let detach = |options| refused(options, |options, ours| options.detach(ours));
    let reasons = [
        (begin(new().header("<presence/>")), Invalid::Header),
        (begin(new().peer_header("</stream>")), Invalid::PeerHeader),
        (begin(new().closing_tag("<stream/>")), Invalid::ClosingTag),
        (begin(new().farewell("<message>")), Invalid::Farewell),
        (begin(new().farewell("<a/></stream:stream>")), Invalid::FarewellWithTag),
        (begin(new().farewell("<a/>").tag_sent(true)), Invalid::FarewellWithoutTag),
        (begin(new().stream_error(reset()).tag_sent(true)), Invalid::BehindTag),
        (detach(new().stream_error(reset())), Invalid::ErrorInDetach),
        (reason(Engine::new(&new().half_close(true), Tls::Yes)), Invalid::HalfCloseOverTls),
    ];
    for (told, meant) in reasons {
        assert_eq!(told, meant);
    }
    all_differ(&reasons.map(|(told, _)| told));
}

/// What says that it is TLS. Whoever uses it counts.
struct Encrypted(Local);

impl Transport for Encrypted {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn shut(&mut self) -> io::Result<()> {
        self.0.shut()
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        self.0.wait(interest, limit, wake)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        self.0.watch(interest)
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[test]
fn a_half_close_over_tls_is_refused_by_every_close_and_nothing_is_sent() {
    let options = CloseOptions::new().half_close(true);
    let refused = |close: &dyn Fn(Local) -> Invalid| {
        let (ours, peer) = pair();
        assert_eq!(close(ours), Invalid::HalfCloseOverTls);
        assert_eq!((&peer).read(&mut [0]).unwrap(), 0, "the end, without a byte before it");
    };
    refused(&|ours| reason(options.close(Encrypted(ours))));
    refused(&|ours| reason(options.begin(Encrypted(ours))));
    refused(&|ours| reason(options.detach(Encrypted(ours))));
    refused(&|ours| reason(Stream::new(Encrypted(ours)).begin(&options)));
    let start_tls = |ours| Stream::new(ours).upgrade(|ours| Ok::<_, Error>(Encrypted(ours))).unwrap();
    refused(&|ours| reason(start_tls(ours).close(&options)));
    #[cfg(feature = "batch")]
    {
        let batch = || xmpp_close::Batch::new().unwrap();
        refused(&|ours| reason(batch().add(Encrypted(ours), &options, |_| {})));
        refused(&|ours| reason(batch().add_stream(start_tls(ours), &options, |_| {})));
    }
    let (ours, _peer) = pair();
    assert!(options.begin(ours).is_ok(), "in plaintext it is done");
}

#[test]
fn what_cannot_be_said_is_told_apart() {
    let (ours, _peer) = pair();
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    let mut send = |xml: &str| reason(stream.send(xml));
    let mut engine = Engine::new(&CloseOptions::new(), Tls::No).unwrap();
    engine.send(b"<a/>").unwrap();
    let restart = Fact::Restarted { tls: Tls::No };
    let reasons = [
        (send("</stream:stream>"), Invalid::TagByHand),
        (send("<a></b>"), Invalid::NotWellFormed),
        (send("<a>"), Invalid::NotWhole),
        (send("hello"), Invalid::Text),
        (reason(engine.tell(restart, Duration::ZERO)), Invalid::UnwrittenAtRestart),
        (reason(StreamError::new(Condition::UndefinedCondition)), Invalid::UndefinedCondition),
        (reason(StreamError::new(Condition::SeeOtherHost)), Invalid::SeeOtherHost),
        (reason(StreamError::see_other_host("two words")), Invalid::Address),
    ];
    for (told, meant) in reasons {
        assert_eq!(told, meant);
    }
    all_differ(&reasons.map(|(told, _)| told));
}

#[cfg(feature = "batch")]
#[test]
fn what_a_batch_does_not_take_is_told_apart() {
    use std::io::Write;

    use xmpp_close::{Batch, BatchOptions, Canceller, OwnedSocket};

    let options = CloseOptions::new();
    let add = |batch: &mut Batch<'_>, transport: OwnedSocket| reason(batch.add(transport, &options, |_| {}));
    let socket = || OwnedSocket::from(pair().0);
    let mut batch = Batch::new().unwrap();

    // The least that a transport has to do: it has no descriptor.
    struct Nothing;
    impl Transport for Nothing {
        fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
        fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn shut(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
            Ok(interest)
        }
    }
    let descriptor = reason(batch.add(Nothing, &options, |_| {}));

    let (twice, mut peer) = pair();
    peer.write_all(b"</stream:stream>").unwrap();
    let mut borrowing = Batch::new().unwrap();
    borrowing.add(local::lent(&twice), &options, |_| {}).unwrap();
    let second = reason(borrowing.add(local::lent(&twice), &options, |_| {}));

    let whole = BatchOptions::new().total(Duration::from_secs(1)).spread(Duration::from_secs(1));
    let spread = reason(batch.run(whole));

    let canceller = Canceller::new().unwrap();
    canceller.cancel();
    batch.set(BatchOptions::new().canceller(&canceller)).unwrap();
    batch.turn(Duration::ZERO).unwrap();
    let stopped = add(&mut batch, socket());

    let mut late = Batch::new().unwrap();
    late.set(BatchOptions::new().total(Duration::ZERO)).unwrap();
    late.turn(Duration::ZERO).unwrap();
    let time = add(&mut late, socket());

    let handle = late.handle();
    drop(late);
    let gone = reason(handle.add(socket(), &options, |_| {}));
    let reasons = [descriptor, second, spread, stopped, time, gone];
    use Invalid::{BatchGone, BatchStopped, BatchTime, NoDescriptor, SecondTime, Spread};
    assert_eq!(reasons, [NoDescriptor, SecondTime, Spread, BatchStopped, BatchTime, BatchGone]);
    all_differ(&reasons);
    #[cfg(target_os = "linux")] // kqueue can wait for a file
    assert_eq!(add(&mut Batch::new().unwrap(), std::fs::File::open("Cargo.toml").unwrap().into()), Invalid::Unwaitable);
}
