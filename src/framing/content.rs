//! The content of tags and between tags: character data, attribute values and names. The input may be cut anywhere in it.

use super::Malformed::{self, NotWellFormed};
use super::bytes::{cdata_run, is_ascii_name_start, name_run, text_run, value_run};
use super::chars::{Reference, Utf8, is_name, is_name_start, predefined_reference, wide_run};

/// Where a non-ASCII character stands, which decides whether it is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Place {
    #[default]
    Anywhere,
    NameStart,
    Name,
}

/// What the input was cut in, to be continued in the next input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Content {
    /// How many `]` came last; 2 stands for more, too.
    brackets: u8,
    /// The next character is the first of a name.
    name_starts: bool,
    utf8: Utf8,
    place: Place,
    reference: Option<Reference>,
}

impl Content {
    /// A character or a reference is half read.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.utf8.is_pending() || self.reference.is_some()
    }

    /// Reads on in the character or reference that is half read.
    #[inline]
    pub fn resume(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        if self.utf8.is_pending() {
            self.wide(rest, self.place)?;
        }
        if self.reference.is_some() { self.reference(rest) } else { Ok(()) }
    }

    /// Passes over character data: all of `rest`, or up to a `<`.
    #[inline(always)] // as a call of its own it costs a stream 5 %
    pub fn text(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        if let [b'<', ..] = rest {
            self.brackets = 0;
            return Ok(());
        }
        loop {
            if self.brackets == 0 {
                *rest = &rest[text_run(rest)..];
            }
            let Some((&byte, tail)) = rest.split_first() else { return Ok(()) };
            let brackets = std::mem::take(&mut self.brackets);
            match byte {
                b'<' => return Ok(()),
                b'&' => self.begin_reference(rest, tail)?,
                b']' => (*rest, self.brackets) = (tail, (brackets + 1).min(2)),
                b'>' if brackets == 2 => return Err(NotWellFormed),
                0x80.. => self.wide_text(rest)?,
                0x20.. | b'\t' | b'\n' | b'\r' => *rest = tail,
                _ => return Err(NotWellFormed),
            }
        }
    }

    /// Passes over a CDATA section. `true`: its end was reached.
    pub fn cdata(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
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
                0x80.. => self.wide_text(rest)?,
                0x20.. | b'\t' | b'\n' | b'\r' => *rest = tail,
                _ => return Err(NotWellFormed),
            }
        }
    }

    /// Passes over an attribute value and its closing quote. `true`: the quote was reached.
    pub fn value(&mut self, rest: &mut &[u8], quote: u8) -> Result<bool, Malformed> {
        loop {
            *rest = &rest[value_run(rest, quote)..];
            let Some((&byte, tail)) = rest.split_first() else { return Ok(false) };
            match byte {
                _ if byte == quote => {
                    *rest = tail;
                    return Ok(true);
                }
                b'&' => self.begin_reference(rest, tail)?,
                0x80.. => self.wide_text(rest)?,
                b'\t' | b'\n' | b'\r' => *rest = tail,
                _ => return Err(NotWellFormed),
            }
        }
    }

    /// Says that a name comes next.
    pub fn start_name(&mut self) {
        self.name_starts = true;
    }

    /// Passes over a name. `true`: its end was reached, which only the byte behind the name shows.
    pub fn name(&mut self, rest: &mut &[u8]) -> Result<bool, Malformed> {
        while let Some(&byte) = rest.first() {
            let starts = std::mem::take(&mut self.name_starts);
            if byte >= 0x80 {
                self.wide(rest, if starts { Place::NameStart } else { Place::Name })?;
            } else if starts && !is_ascii_name_start(byte) {
                return Err(NotWellFormed);
            } else {
                *rest = &rest[name_run(rest)..];
                if rest.first().is_some_and(u8::is_ascii) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Takes non-ASCII characters off `rest`, in a place where all are allowed.
    #[inline]
    fn wide_text(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
        match wide_run(rest) {
            0 => self.wide(rest, Place::Anywhere),
            length => {
                *rest = &rest[length..];
                Ok(())
            }
        }
    }

    /// Takes a non-ASCII character off `rest`, or the part of it that is there.
    fn wide(&mut self, rest: &mut &[u8], place: Place) -> Result<(), Malformed> {
        self.place = place;
        let fits = match (self.utf8.take(rest)?, place) {
            (None, _) | (_, Place::Anywhere) => true,
            (Some(c), Place::NameStart) => is_name_start(c),
            (Some(c), Place::Name) => is_name(c),
        };
        if fits { Ok(()) } else { Err(NotWellFormed) }
    }

    /// Begins the reference at the start of `rest`. `tail` is `rest` without its `&`.
    #[inline]
    fn begin_reference<'a>(&mut self, rest: &mut &'a [u8], tail: &'a [u8]) -> Result<(), Malformed> {
        if let Some(length) = predefined_reference(tail) {
            *rest = &tail[length..];
            return Ok(());
        }
        *rest = tail;
        self.reference = Some(Reference::Begun);
        self.reference(rest)
    }

    #[cold]
    fn reference(&mut self, rest: &mut &[u8]) -> Result<(), Malformed> {
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
}
