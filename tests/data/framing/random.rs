//! Streams made at random, the same in every run.

use super::Seen;

/// A small generator of pseudo-random numbers (Knuth's MMIX constants): the same in every run.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.below(choices.len())]
    }

    /// An element with everything in it that XMPP allows.
    fn element(&mut self, depth: usize) -> String {
        let name = self.pick(&["a", "message", "b-1", "é", "c.d_e", "p:q", "stream:stream"]);
        let mut xml = format!("<{name}");
        for attribute in 0..self.below(4) {
            let value = self.pick(&[
                "",
                "x",
                ">",
                "/>",
                "&lt;",
                "a rather long one, so long that it takes two blocks",
                "ü",
                "]]>",
            ]);
            let quote = self.pick(&["'", "\""]);
            let (before, equals) = (self.pick(&[" ", "  ", "\n\t"]), self.pick(&["=", " = "]));
            xml += &format!("{before}a{attribute}{equals}{quote}{value}{quote}");
        }
        if self.below(4) == 0 {
            return xml + self.pick(&["/>", " />"]);
        }
        xml += self.pick(&[">", ">", " >"]);
        for _ in 0..self.below(5) {
            if depth > 0 && self.below(2) == 0 {
                xml += &self.element(depth - 1);
            } else {
                xml += self.pick(&[
                    "hi",
                    "]",
                    "]]",
                    " ",
                    "é😀",
                    "&amp;",
                    "&#x41;",
                    "<![CDATA[</a>]]]>",
                    "Wherefore art thou, Romeo?",
                ]);
            }
        }
        xml + &format!("</{name}{}>", self.pick(&["", "", "\r\n"]))
    }

    /// A stream, and what is in it.
    pub(crate) fn stream(&mut self) -> (String, Vec<Seen>) {
        let header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='p'>".to_owned();
        let mut xml = self.pick(&["", " ", "<?xml version='1.0'?>", "\u{feff}"]).to_owned() + &header;
        let mut seen = vec![Seen::Header(header)];
        for _ in 0..self.below(6) {
            xml += self.pick(&["", "", " ", "\n\n"]);
            let stanza = self.element(4);
            xml += &stanza;
            seen.push(Seen::Stanza(stanza));
        }
        seen.push(Seen::End);
        (xml + "</stream:stream>", seen)
    }

    /// `input` in pieces of all sizes up to `largest`.
    pub(crate) fn cut<'i>(&mut self, mut input: &'i [u8], largest: usize) -> Vec<&'i [u8]> {
        let mut pieces = Vec::new();
        while !input.is_empty() {
            let (piece, rest) = input.split_at(self.below(largest + 1).min(input.len()));
            pieces.push(piece);
            input = rest;
        }
        pieces
    }
}
