//! The state machine over the bytes of a stream: it knows where markup begins and ends and how deep it is nested,
//! and keeps nothing of what it has seen but the names of open elements.

use super::Malformed::{self, NotWellFormed, RestrictedXml};
use super::bytes::{cdata_run, is_ascii_name_start, is_space, name_run, text_run, value_run};
use super::chars::{Reference, Utf8, is_name, is_name_start};
use super::declaration::{self, MAX_DECLARATION};
use super::names::Names;

/// What the scanner has come to the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// What was handed in: more is needed.
    Input,
    /// Something that is not for the application: the XML declaration.
    Declaration,
    /// A CDATA section between stanzas.
    StrayCdata,
    /// The start tag of the root; `empty`: which is its end as well.
    Header { empty: bool },
    /// A first-level element.
    Element,
    /// The end tag of the root, or another one in its place.
    End { mismatched: bool },
}

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the root: nothing yet, only a byte order mark, or more than that.
    Start,
    ByteOrderMark,
    Prolog,
    /// Between tags; at depth 1, between stanzas.
    Text,
    /// After `<`; `declaration`: which is the first thing in the document.
    Markup {
        declaration: bool,
    },
    StartName,
    /// After the element's name or an attribute value: white space must come before the next attribute.
    StartTag,
    /// After white space in a start tag.
    Attributes,
    AttributeName,
    Equals,
    Quote,
    Value {
        quote: u8,
    },
    /// After `/` in a start tag.
    EmptyTag,
    /// In the name of an end tag, of which `matched` bytes were those of the start tag.
    EndName {
        matched: usize,
    },
    /// In the name of an end tag whose start tag's name is not in the stack.
    FreeEndName,
    EndTag,
    /// After `<!`.
    Bang,
    /// After `matched` bytes of `<![CDATA[`.
    CdataStart {
        matched: usize,
    },
    Cdata,
    /// After `<?` and `matched` bytes of `xml`.
    Target {
        matched: usize,
        declaration: bool,
    },
    Declaration,
}

/// What a non-ASCII character has to be.
#[derive(Clone, Copy, Debug)]
enum Place {
    Anywhere,
    NameStart,
    Name,
}

const CDATA: &[u8] = b"<![CDATA[";

#[derive(Clone, Debug)]
pub(super) struct Scanner {
    state: State,
    /// Elements that are open, the root included.
    depth: u64,
    /// The qualified name of the root; `None` before it is known, and when any end tag may close it.
    pub root: Option<String>,
    pub stray_bytes: u64,
    names: Names,
    /// The next character is the first of a name.
    name_starts: bool,
    /// How many `]` came last, up to two.
    brackets: u8,
    utf8: Utf8,
    place: Place,
    reference: Option<Reference>,
    declaration: Vec<u8>,
}

impl Scanner {
    pub fn new() -> Self {
        Self {
            state: State::Start,
            depth: 0,
            root: None,
            stray_bytes: 0,
            names: Names::default(),
            name_starts: false,
            brackets: 0,
            utf8: Utf8::default(),
            place: Place::Anywhere,
            reference: None,
            declaration: Vec::new(),
        }
    }

    /// Inside the root, between stanzas.
    pub fn inside(root: Option<&str>) -> Self {
        Self { state: State::Text, depth: 1, root: root.map(str::to_owned), ..Self::new() }
    }

    /// Outside every element but the root, and with no character half read.
    pub fn is_between(&self) -> bool {
        self.depth == 1 && self.state == State::Text && !self.utf8.is_pending() && self.reference.is_none()
    }

    /// Whether the next byte belongs to the tag, element or declaration that was begun before.
    pub fn is_in_markup(&self) -> bool {
        !matches!((self.state, self.depth), (State::Text, 1) | (State::Start | State::ByteOrderMark | State::Prolog, _))
    }

    /// Passes over what stands before the root or between stanzas: all of `rest`, or up to a `<`.
    #[inline]
    pub fn skip_outside(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        if rest.first() == Some(&b'<')
            && self.state == State::Text
            && !self.utf8.is_pending()
            && self.reference.is_none()
        {
            self.brackets = 0;
            return Ok(());
        }
        if self.depth == 0 {
            return self.prolog(rest);
        }
        let before = *rest;
        let result = self.resume(rest).and_then(|()| self.text(rest));
        let passed = &before[..before.len() - rest.len()];
        self.stray_bytes += passed.iter().filter(|&&byte| !is_space(byte)).count() as u64;
        result
    }

    fn prolog(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        while let Some((&byte, tail)) = rest.split_first() {
            if self.state == State::Start && (self.utf8.is_pending() || byte == 0xef) {
                match self.utf8.take(rest)? {
                    None => return Ok(()),
                    Some(0xfeff) => (self.state, self.stray_bytes) = (State::ByteOrderMark, self.stray_bytes + 3),
                    Some(_) => return Err(NotWellFormed),
                }
            } else if is_space(byte) {
                (self.state, *rest) = (State::Prolog, tail);
            } else if byte == b'<' {
                return Ok(());
            } else {
                return Err(NotWellFormed);
            }
        }
        Ok(())
    }

    /// Goes on to the end of what begins with the `<` that `rest` begins with, or began with before.
    pub fn scan(&mut self, rest: &mut &[u8]) -> Result<Token, Malformed> {
        let before = *rest;
        self.resume(rest)?;
        if self.state == State::StartName {
            self.names.append(&before[..before.len() - rest.len()]);
        }
        while let Some((&byte, tail)) = rest.split_first() {
            match self.state {
                State::Start | State::ByteOrderMark | State::Prolog => {
                    self.state = State::Markup { declaration: self.state != State::Prolog };
                    *rest = tail;
                }
                State::Text => {
                    self.text(rest)?;
                    if let Some(tail) = rest.get(1..) {
                        self.state = State::Markup { declaration: false };
                        *rest = tail;
                    }
                }
                State::Markup { declaration } => {
                    self.name_starts = true;
                    self.state = match byte {
                        b'/' if self.depth == 0 => return Err(NotWellFormed),
                        b'/' if self.depth > 1 && self.names.top().is_some() => State::EndName { matched: 0 },
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
                    let complete = self.collected_name(rest)?;
                    if complete {
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
                    _ => (self.state, self.name_starts) = (State::AttributeName, true),
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
                    if self.value(rest, quote)? {
                        self.state = State::StartTag;
                    }
                }
                State::EmptyTag => {
                    if byte != b'>' {
                        return Err(NotWellFormed);
                    }
                    *rest = tail;
                    if self.depth == 0 {
                        self.learn_root();
                        return Ok(Token::Header { empty: true });
                    }
                    self.names.forget();
                    self.state = State::Text;
                    if self.depth == 1 {
                        return Ok(Token::Element);
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
                    // At depth 1 the stack is empty and free to hold the name, to be compared with the root's.
                    let complete = if self.depth == 1 { self.collected_name(rest)? } else { self.name(rest)? };
                    if complete {
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
                        self.brackets = 0;
                        State::Cdata
                    } else {
                        State::CdataStart { matched: matched + 1 }
                    };
                    *rest = tail;
                }
                State::Cdata => {
                    if self.cdata(rest)? {
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
                        _ => return Err(RestrictedXml),
                    };
                    if self.state != State::Declaration {
                        *rest = tail;
                    }
                }
                State::Declaration => {
                    *rest = tail;
                    if byte == b'>' {
                        self.state = State::Prolog;
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

    /// A start tag ended.
    #[inline]
    fn open(&mut self) -> Option<Token> {
        self.state = State::Text;
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
        self.root = self.names.current().map(|name| String::from_utf8_lossy(name).into_owned());
        self.names.forget();
    }

    /// An end tag ended.
    #[inline]
    fn close(&mut self) -> Option<Token> {
        self.state = State::Text;
        self.depth -= 1;
        if self.depth == 0 {
            let name = self.names.current();
            let mismatched = self.root.as_deref().is_some_and(|root| name != Some(root.as_bytes()));
            return Some(Token::End { mismatched });
        }
        self.names.pop();
        (self.depth == 1).then_some(Token::Element)
    }

    /// Finishes the character or reference that the last input ended in.
    #[inline]
    fn resume(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        if self.utf8.is_pending() {
            self.wide(rest, self.place)?;
        }
        if self.reference.is_some() { self.go_on_with_reference(rest) } else { Ok(()) }
    }

    /// Takes a non-ASCII character off `rest`, or what is there of it.
    fn wide(&mut self, rest: &mut &[u8], place: Place) -> Result<(), Malformed> {
        self.place = place;
        let fits = match (self.utf8.take(rest)?, place) {
            (None, _) | (_, Place::Anywhere) => true,
            (Some(c), Place::NameStart) => is_name_start(c),
            (Some(c), Place::Name) => is_name(c),
        };
        if fits { Ok(()) } else { Err(NotWellFormed) }
    }

    #[cold]
    fn go_on_with_reference(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        while let (Some(reference), Some((&byte, tail))) = (&mut self.reference, rest.split_first()) {
            if byte >= 0x80 {
                let place = if reference.push_wide()? { Place::NameStart } else { Place::Name };
                self.wide(rest, place)?;
            } else {
                if reference.push(byte)? {
                    self.reference = None;
                }
                *rest = tail;
            }
        }
        Ok(())
    }

    /// Passes over character data up to a `<`.
    #[inline]
    fn text(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        loop {
            if self.brackets == 0 {
                *rest = &rest[text_run(rest)..];
            }
            let Some((&byte, tail)) = rest.split_first() else { return Ok(()) };
            let brackets = std::mem::take(&mut self.brackets);
            match byte {
                b'<' => return Ok(()),
                b'&' => {
                    *rest = tail;
                    self.reference = Some(Reference::Begun);
                    self.go_on_with_reference(rest)?;
                }
                b']' => (*rest, self.brackets) = (tail, (brackets + 1).min(2)),
                b'>' if brackets == 2 => return Err(NotWellFormed),
                0x80.. => self.wide(rest, Place::Anywhere)?,
                0x20.. | b'\t' | b'\n' | b'\r' => *rest = tail,
                _ => return Err(NotWellFormed),
            }
        }
    }

    /// Passes over a CDATA section; `true`: up to its end.
    fn cdata(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        loop {
            if self.brackets == 0 {
                *rest = &rest[cdata_run(rest)..];
            }
            let Some((&byte, tail)) = rest.split_first() else { return Ok(false) };
            let brackets = std::mem::take(&mut self.brackets);
            match byte {
                b']' => (*rest, self.brackets) = (tail, (brackets + 1).min(2)),
                b'>' if brackets == 2 => {
                    *rest = tail;
                    return Ok(true);
                }
                0x80.. => self.wide(rest, Place::Anywhere)?,
                0x20.. | b'\t' | b'\n' | b'\r' => *rest = tail,
                _ => return Err(NotWellFormed),
            }
        }
    }

    /// Passes over an attribute value; `true`: up to and with its closing quote.
    #[inline]
    fn value(&mut self, rest: &mut &[u8], quote: u8) -> Result<bool, Malformed> {
        loop {
            *rest = &rest[value_run(rest, quote)..];
            let Some((&byte, tail)) = rest.split_first() else { return Ok(false) };
            match byte {
                _ if byte == quote => {
                    *rest = tail;
                    return Ok(true);
                }
                b'&' => {
                    *rest = tail;
                    self.reference = Some(Reference::Begun);
                    self.go_on_with_reference(rest)?;
                }
                0x80.. => self.wide(rest, Place::Anywhere)?,
                b'\t' | b'\n' | b'\r' => *rest = tail,
                _ => return Err(NotWellFormed),
            }
        }
    }

    /// Passes over a name; `true`: up to its end, which only the byte after it tells.
    #[inline]
    fn name(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        loop {
            match rest.first() {
                None => return Ok(false),
                Some(0x80..) => {
                    let place = if self.name_starts { Place::NameStart } else { Place::Name };
                    self.name_starts = false;
                    self.wide(rest, place)?;
                    continue;
                }
                Some(&byte) if self.name_starts && !is_ascii_name_start(byte) => return Err(NotWellFormed),
                Some(_) => {}
            }
            self.name_starts = false;
            *rest = &rest[name_run(rest)..];
            if rest.first().is_some_and(u8::is_ascii) {
                return Ok(true);
            }
        }
    }

    /// [`name`](Self::name), with the name kept.
    #[inline]
    fn collected_name(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        let before = *rest;
        let complete = self.name(rest)?;
        self.names.append(&before[..before.len() - rest.len()]);
        Ok(complete)
    }
}
