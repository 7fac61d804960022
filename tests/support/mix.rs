//! A made-up stream as a client sees it: short messages, presence, pages of an archive, vCards with pictures in base64.
//! Always the same for the same length, so that counts can be compared.

/// The kinds of traffic, with the part that each has in the bytes of the mix, in percent.
pub const KINDS: [(&str, u64); 4] = [("messages", 25), ("presence", 15), ("MAM pages", 35), ("vCards", 25)];

/// Opens the stream.
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='8e1f2a' from='example.com' version='1.0' xml:lang='en'>";
pub const END: &str = "</stream:stream>";

/// About `length` bytes of stanzas of one kind, and how many there are.
#[allow(dead_code, reason = "the counts need the whole mix only")]
pub fn only(kind: &str, length: usize) -> (String, usize) {
    let mut writer = Writer::new();
    while writer.text.len() < length {
        writer.stanzas_of(kind);
    }
    (writer.text, writer.stanzas)
}

/// About `length` bytes of stanzas of all kinds, and how many there are.
pub fn mix(length: usize) -> (String, usize) {
    let mut writer = Writer::new();
    let mut written = [0; KINDS.len()];
    while writer.text.len() < length {
        // Whichever kind lags most behind its part.
        let next = (0..KINDS.len()).min_by_key(|&kind| written[kind] * 100 / KINDS[kind].1).unwrap();
        let before = writer.text.len();
        writer.stanzas_of(KINDS[next].0);
        written[next] += (writer.text.len() - before) as u64;
    }
    (writer.text, writer.stanzas)
}

struct Writer {
    text: String,
    stanzas: usize,
    seed: u64,
}

const PEOPLE: [&str; 6] = ["juliet", "romeo", "nurse", "mercutio", "benvolio", "tybalt"];
const TEXTS: [&str; 8] = [
    "Art thou not Romeo, and a Montague?",
    "ok",
    "How cam'st thou hither, tell me, and wherefore? The orchard walls are high and hard to climb.",
    "https://example.com/upload/3f2a?size=large&amp;name=balcony.jpg",
    "Wo bist du? Ich wäre längst über alle Dächer, hätte ich Flügel.",
    "Как попал ты сюда? Скажи, зачем?",
    "どうしてここへ？🌙",
    "x &lt; y &amp;&amp; y &gt; z, isn&apos;t it?",
];
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Writer {
    fn new() -> Self {
        Self { text: String::new(), stanzas: 0, seed: 42 }
    }

    /// A linear congruential generator: as random as this needs.
    fn dice(&mut self, sides: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) as usize % sides
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.dice(choices.len())]
    }

    fn id(&mut self) -> String {
        format!("{:08x}-{:04x}-{:04x}", self.dice(1 << 31), self.dice(1 << 16), self.dice(1 << 16))
    }

    fn stanza(&mut self, text: &str) {
        self.text.push_str(text);
        self.stanzas += 1;
    }

    fn stanzas_of(&mut self, kind: &str) {
        match kind {
            "messages" => {
                let message = self.message("");
                self.stanza(&message);
            }
            "presence" => self.presence(),
            "MAM pages" => self.archive_page(),
            "vCards" => self.vcard(),
            _ => panic!("{kind}"),
        }
    }

    fn message(&mut self, namespace: &str) -> String {
        let (from, to) = (self.one_of(&PEOPLE), self.one_of(&PEOPLE));
        let id = self.id();
        if namespace.is_empty() && self.dice(4) == 0 {
            let state = self.one_of(&["composing", "paused", "active"]);
            return format!(
                "<message from='{from}@example.com/phone' to='{to}@example.com' type='chat'>\
                 <{state} xmlns='http://jabber.org/protocol/chatstates'/>\
                 <no-store xmlns='urn:xmpp:hints'/></message>"
            );
        }
        let text = self.one_of(&TEXTS);
        format!(
            "<message{namespace} from='{from}@example.com/phone' to='{to}@example.com' type='chat' id='{id}'>\
             <body>{text}</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
             <request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='{to}@example.com' id='{}'/></message>",
            self.id()
        )
    }

    fn presence(&mut self) {
        let from = self.one_of(&PEOPLE);
        let text = match self.dice(4) {
            0 => format!("<presence from='{from}@example.com/desk' to='juliet@example.com/phone' type='unavailable'/>"),
            _ => format!(
                "<presence from='{from}@example.com/desk' to='juliet@example.com/phone'><show>away</show>\
                 <priority>{}</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
                 node='https://example.org/client' ver='q07IKJEyjvHSyhy//CH0CxmKi8w='/>\
                 <x xmlns='vcard-temp:x:update'><photo>{}{}</photo></x></presence>",
                self.dice(20),
                self.id(),
                self.id()
            ),
        };
        self.stanza(&text);
    }

    /// XEP-0313: the results, and the iq that ends them.
    fn archive_page(&mut self) {
        let results = 50;
        for _ in 0..results {
            let (id, second) = (self.id(), self.dice(60));
            let message = self.message(" xmlns='jabber:client'");
            self.stanza(&format!(
                "<message to='juliet@example.com/phone' from='juliet@example.com'>\
                 <result xmlns='urn:xmpp:mam:2' queryid='f27' id='{id}'><forwarded xmlns='urn:xmpp:forward:0'>\
                 <delay xmlns='urn:xmpp:delay' stamp='2026-07-10T23:08:{second:02}Z'/>{message}</forwarded></result>\
                 </message>"
            ));
        }
        let (first, last) = (self.id(), self.id());
        self.stanza(&format!(
            "<iq type='result' id='f27' to='juliet@example.com/phone'><fin xmlns='urn:xmpp:mam:2'>\
             <set xmlns='http://jabber.org/protocol/rsm'><first index='0'>{first}</first><last>{last}</last>\
             <count>{results}</count></set></fin></iq>"
        ));
    }

    /// XEP-0054, with a picture of 2 to 16 KiB.
    fn vcard(&mut self) {
        let from = self.one_of(&PEOPLE);
        let lines = 27 + self.dice(190);
        let mut picture = String::new();
        for _ in 0..lines {
            picture.extend((0..76).map(|_| char::from(BASE64[self.dice(64)])));
            picture.push('\n');
        }
        let id = self.id();
        self.stanza(&format!(
            "<iq from='{from}@example.com' to='juliet@example.com/phone' type='result' id='{id}'>\
             <vCard xmlns='vcard-temp'><FN>{from}</FN><N><FAMILY/><GIVEN>{from}</GIVEN></N>\
             <URL>https://example.com/{from}</URL><PHOTO><TYPE>image/png</TYPE><BINVAL>{picture}</BINVAL></PHOTO>\
             </vCard></iq>"
        ));
    }
}
