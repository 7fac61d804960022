//! The state machine over the bytes of a stream. It finds where markup begins and ends, and how deep it is nested. Of what it
//! has seen it keeps only the names of open elements.

mod before;

use super::Malformed::{self, NotWellFormed, RestrictedXml};
use super::bytes::{is_ascii_name, is_space};
use super::content::Content;
use super::declaration::{self, MAX_DECLARATION};
use super::names::{Names, Root};
use super::plain::{self, start_tag};
use super::state::State;

/// What the scanner has found the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The input: more is needed.
    Input,
    /// The XML declaration.
    Declaration,
    /// A CDATA section between stanzas.
    StrayCdata,
    /// The start tag of the root. `empty`: it is an empty tag, and ends the root as well.
    Header { empty: bool },
    /// A first-level element.
    Element,
    /// The end tag of the root.
    End,
    /// An end tag between stanzas whose name is not that of the root.
    StrayEnd,
}

const CDATA: &[u8] = b"<![CDATA[";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scanner {
    state: State,
    /// Another document came before on the same connection. White space may follow that document.
    follows: bool,
    /// Nobody knows whether the start tag of the root has come: if the first tag is not that, it is one between stanzas.
    open_perhaps: bool,
    /// How many elements are open, the root included.
    depth: u64,
    pub root: Root,
    /// How many bytes between stanzas were passed over that are no white space.
    pub stray_bytes: u64,
    names: Names,
    content: Content,
    declaration: Vec<u8>,
}

impl Scanner {
    pub fn new() -> Self {
        Self {
            state: State::Start { matched: 0 },
            follows: false,
            open_perhaps: false,
            depth: 0,
            root: Root::UNKNOWN,
            stray_bytes: 0,
            names: Names::default(),
            content: Content::default(),
            declaration: Vec::new(),
        }
    }

    /// At the start of a document behind another one. `stray_bytes` goes on from that of the other.
    pub fn behind(stray_bytes: u64) -> Self {
        Self { follows: true, stray_bytes, ..Self::new() }
    }

    /// Inside the root, between stanzas.
    pub fn inside(root: Option<&str>) -> Self {
        let mut scanner = Self { state: State::Text, depth: 1, ..Self::new() };
        if let Some(root) = root {
            scanner.root = Root::Named(root.to_owned());
        }
        scanner
    }

    /// Before the XML declaration and the start tag of the root, or behind them: what comes first shows it.
    pub fn perhaps_inside() -> Self {
        Self { open_perhaps: true, ..Self::new() }
    }

    /// Whether the input was cut between stanzas, and not inside a character.
    pub fn is_between(&self) -> bool {
        match self.state {
            State::Text => self.depth == 1 && !self.content.is_pending(),
            State::Start { matched: 0 } | State::Prolog => self.open_perhaps,
            _ => false,
        }
    }

    /// Whether the next byte belongs to the tag, element or declaration that was begun before.
    pub fn is_in_markup(&self) -> bool {
        !matches!((self.state, self.depth), (State::Text, 1) | (State::Start { .. } | State::Prolog, _))
    }

    /// Passes over what stands before the root or between stanzas, up to a `<` or to the end of `rest`.
    #[inline]
    pub fn skip_outside(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        if self.depth == 0 {
            return self.prolog(rest);
        }
        let before = *rest;
        let result = self.content.resume(rest).and_then(|()| self.content.text(rest));
        let passed = &before[..before.len() - rest.len()];
        self.stray_bytes += passed.iter().filter(|&&byte| !is_space(byte)).count() as u64;
        result
    }

    /// Scans to the end of a token. It begins with the `<` that `rest` begins with, or was begun in earlier input.
    pub fn scan(&mut self, rest: &mut &[u8]) -> Result<Token, Malformed> {
        let before = *rest;
        self.content.resume(rest)?;
        if self.keeps_name() {
            self.names.append(&before[..before.len() - rest.len()]);
        }
        while let Some((&byte, tail)) = rest.split_first() {
            match self.state {
                State::Start { .. } | State::Prolog => {
                    self.state = State::Markup { declaration: self.state != State::Prolog };
                    *rest = tail;
                }
                State::Text => {
                    self.content.text(rest)?;
                    if let Some(token) = self.markup(rest) {
                        return Ok(token);
                    }
                }
                State::Markup { declaration } => {
                    self.content.start_name();
                    if matches!(byte, b'/' | b'!') {
                        self.was_open();
                    }
                    self.state = match byte {
                        b'/' if self.depth == 0 => return Err(NotWellFormed),
                        b'/' if self.names.top().is_some() => State::EndName { matched: 0 },
                        b'/' => State::FreeEndName,
                        b'!' => State::Bang,
                        b'?' => State::Target { matched: 0, declaration },
                        _ => State::StartName,
                    };
                    if self.state != State::StartName {
                        *rest = tail;
                    }
                }
                State::StartName => {
                    if self.name(rest)? {
                        self.state = State::StartTag;
                    }
                }
                State::StartTag => {
                    if is_space(byte) {
                        self.state = State::Attributes;
                    } else if byte == b'/' {
                        self.state = State::EmptyTag;
                    } else if byte == b'>' {
                        *rest = tail;
                        if let Some(token) = self.open() {
                            return Ok(token);
                        }
                        continue;
                    } else {
                        return Err(NotWellFormed);
                    }
                    *rest = tail;
                }
                State::Attributes => match byte {
                    b'/' | b'>' => self.state = State::StartTag,
                    _ if is_space(byte) => *rest = tail,
                    _ => {
                        self.content.start_name();
                        self.state = State::AttributeName;
                    }
                },
                State::AttributeName => {
                    if self.name(rest)? {
                        self.state = State::Equals;
                    }
                }
                State::Equals => {
                    match byte {
                        b'=' => self.state = State::Quote,
                        _ if is_space(byte) => {}
                        _ => return Err(NotWellFormed),
                    }
                    *rest = tail;
                }
                State::Quote => {
                    match byte {
                        b'\'' | b'"' => self.state = State::Value { quote: byte },
                        _ if is_space(byte) => {}
                        _ => return Err(NotWellFormed),
                    }
                    *rest = tail;
                }
                State::Value { quote } => {
                    if self.content.value(rest, quote)? {
                        self.state = State::StartTag;
                    }
                }
                State::EmptyTag => {
                    if byte != b'>' {
                        return Err(NotWellFormed);
                    }
                    *rest = tail;
                    if self.open_perhaps {
                        self.first_tag();
                    }
                    if self.depth == 0 {
                        self.learn_root();
                        return Ok(Token::Header { empty: true });
                    }
                    self.names.forget();
                    if let Some(token) = self.empty() {
                        return Ok(token);
                    }
                }
                State::EndName { matched } => {
                    let name = &self.names.top().unwrap_or_default()[matched..];
                    let here = name.len().min(rest.len());
                    if name[..here] != rest[..here] {
                        return Err(NotWellFormed);
                    }
                    *rest = &rest[here..];
                    self.state =
                        if here == name.len() { State::EndTag } else { State::EndName { matched: matched + here } };
                }
                State::FreeEndName => {
                    if self.name(rest)? {
                        self.state = State::EndTag;
                    }
                }
                State::EndTag => {
                    *rest = tail;
                    if byte == b'>' {
                        if let Some(token) = self.close() {
                            return Ok(token);
                        }
                    } else if !is_space(byte) {
                        return Err(NotWellFormed);
                    }
                }
                State::Bang => {
                    self.state = match byte {
                        b'[' if self.depth > 0 => State::CdataStart { matched: 3 },
                        // RFC 6120 section 11.1: no comments, no DTD.
                        b'-' | b'A'..=b'Z' | b'a'..=b'z' => return Err(RestrictedXml),
                        _ => return Err(NotWellFormed),
                    };
                    *rest = tail;
                }
                State::CdataStart { matched } => {
                    if byte != CDATA[matched] {
                        return Err(NotWellFormed);
                    }
                    self.state = if matched + 1 == CDATA.len() {
                        State::Cdata
                    } else {
                        State::CdataStart { matched: matched + 1 }
                    };
                    *rest = tail;
                }
                State::Cdata => {
                    if self.content.cdata(rest)? {
                        self.state = State::Text;
                        if self.depth == 1 {
                            return Ok(Token::StrayCdata);
                        }
                    }
                }
                State::Target { matched, declaration } => {
                    self.state = match b"xml".get(matched) {
                        Some(&expected) if byte == expected => State::Target { matched: matched + 1, declaration },
                        None if is_space(byte) && declaration => State::Declaration,
                        None if is_space(byte) || byte == b'?' => return Err(NotWellFormed),
                        // RFC 6120 section 11.1: no processing instructions.
                        _ if is_ascii_name(byte) || byte >= 0x80 => return Err(RestrictedXml),
                        _ if matched > 0 && (is_space(byte) || byte == b'?') => return Err(RestrictedXml),
                        _ => return Err(NotWellFormed),
                    };
                    if self.state != State::Declaration {
                        *rest = tail;
                    }
                }
                State::Declaration => {
                    *rest = tail;
                    if byte == b'>' {
                        self.state = State::Prolog;
                        self.open_perhaps = false;
                        declaration::check(&std::mem::take(&mut self.declaration))?;
                        return Ok(Token::Declaration);
                    }
                    if self.declaration.len() == MAX_DECLARATION {
                        return Err(NotWellFormed);
                    }
                    self.declaration.push(byte);
                }
            }
        }
        Ok(Token::Input)
    }

    /// Takes the `<` that `rest` begins with, or the whole tag, if the tag is plain and all there.
    #[inline]
    fn markup(&mut self, rest: &mut &[u8]) -> Option<Token> {
        let tail = rest.get(1..)?;
        if let [b'/', name @ ..] = tail {
            let open = match self.names.top() {
                Some(top) => name.strip_prefix(top),
                None if self.depth > 1 => plain::name(name).map(|length| &name[length..]), // nested too deep: believed
                None => None,
            };
            if let Some([b'>', behind @ ..]) = open {
                *rest = behind;
                return self.close();
            }
        } else if let Some(tag) = start_tag(tail) {
            *rest = &tail[tag.length..];
            if tag.empty {
                return self.empty();
            }
            self.names.append(&tail[..tag.name]);
            return self.open();
        }
        self.state = State::Markup { declaration: false };
        *rest = tail;
        None
    }

    /// An empty tag ended.
    #[inline]
    fn empty(&mut self) -> Option<Token> {
        self.state = State::Text;
        (self.depth == 1).then_some(Token::Element)
    }

    /// A start tag ended.
    #[inline]
    fn open(&mut self) -> Option<Token> {
        self.state = State::Text;
        if self.open_perhaps {
            self.first_tag();
        }
        if self.depth == 0 {
            self.learn_root();
            self.depth = 1;
            return Some(Token::Header { empty: false });
        }
        self.names.push();
        self.depth += 1;
        None
    }

    fn learn_root(&mut self) {
        if let Some(name) = self.names.current() {
            self.root = Root::Named(String::from_utf8_lossy(name).into_owned());
        }
        self.names.forget();
    }

    /// An end tag ended.
    #[inline]
    fn close(&mut self) -> Option<Token> {
        self.state = State::Text;
        self.depth -= 1;
        if self.depth == 0 {
            let is_of_the_root = self.names.current().is_some_and(|name| self.root.is_closed_by(name));
            return Some(if is_of_the_root { Token::End } else { Token::StrayEnd });
        }
        self.names.pop();
        (self.depth == 1).then_some(Token::Element)
    }

    /// Whether the name that is being read goes into the stack: that of a start tag, and that of the end tag of the root.
    #[inline]
    fn keeps_name(&self) -> bool {
        self.state == State::StartName || (self.state == State::FreeEndName && self.depth == 1)
    }

    /// Passes over a name. `true`: its end was reached.
    fn name(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        let before = *rest;
        let complete = self.content.name(rest)?;
        if self.keeps_name() {
            self.names.append(&before[..before.len() - rest.len()]);
        }
        Ok(complete)
    }
}
