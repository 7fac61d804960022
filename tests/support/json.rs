//! A strict reader of JSON (RFC 8259), for what our programs print.

use std::{iter::Peekable, ops::Index, str::Chars};

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Panics where the text is not one JSON value.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader(text.chars().peekable());
        let value = reader.value();
        reader.blank();
        assert_eq!(reader.0.next(), None, "something after the value");
        value
    }

    pub fn number(&self) -> f64 {
        if let Self::Number(number) = self { *number } else { panic!("{self:?} is no number") }
    }

    pub fn text(&self) -> &str {
        if let Self::String(text) = self { text } else { panic!("{self:?} is no string") }
    }

    pub fn array(&self) -> &[Json] {
        if let Self::Array(items) = self { items } else { panic!("{self:?} is no array") }
    }
}

impl Index<&str> for Json {
    type Output = Json;

    fn index(&self, name: &str) -> &Json {
        let Self::Object(members) = self else { panic!("{self:?} is no object") };
        &members.iter().find(|member| member.0 == name).unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    fn blank(&mut self) {
        while self.0.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\n')).is_some() {}
    }

    fn expect(&mut self, text: &str) {
        for c in text.chars() {
            assert_eq!(self.0.next(), Some(c), "in place of {text}");
        }
    }

    fn value(&mut self) -> Json {
        self.blank();
        match self.0.peek().expect("a value") {
            'n' => {
                self.expect("null");
                Json::Null
            }
            't' => {
                self.expect("true");
                Json::Bool(true)
            }
            'f' => {
                self.expect("false");
                Json::Bool(false)
            }
            '"' => Json::String(self.string()),
            '[' => Json::Array(self.list('[', ']', Self::value)),
            '{' => Json::Object(self.list('{', '}', |reader| {
                reader.blank();
                let name = reader.string();
                reader.blank();
                reader.expect(":");
                (name, reader.value())
            })),
            _ => {
                let mut digits = String::new();
                while let Some(c) = self.0.next_if(|c| c.is_ascii_digit() || "+-.eE".contains(*c)) {
                    digits.push(c);
                }
                let first = digits.trim_start_matches('-');
                assert!(first.starts_with(|c: char| c.is_ascii_digit()), "{digits} is no number");
                assert!(!(first.starts_with('0') && first[1..].starts_with(|c: char| c.is_ascii_digit())), "{digits}");
                Json::Number(digits.parse().expect("a number"))
            }
        }
    }

    fn list<T>(&mut self, open: char, close: char, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        assert_eq!(self.0.next(), Some(open));
        self.blank();
        let mut items = Vec::new();
        if self.0.next_if_eq(&close).is_some() {
            return items;
        }
        loop {
            items.push(item(self));
            self.blank();
            match self.0.next() {
                Some(',') => {}
                Some(c) if c == close => return items,
                other => panic!("{other:?} in a list"),
            }
        }
    }

    fn string(&mut self) -> String {
        self.expect("\"");
        let mut text = String::new();
        loop {
            match self.0.next().expect("the end of a string") {
                '"' => return text,
                '\\' => match self.0.next().expect("an escaped character") {
                    'u' => {
                        let digits: String = self.0.by_ref().take(4).collect();
                        assert_eq!(digits.len(), 4);
                        let code = u32::from_str_radix(&digits, 16).expect("hexadecimal digits");
                        text.push(char::from_u32(code).expect("no surrogate: our programs write no pairs"));
                    }
                    c @ ('"' | '\\' | '/') => text.push(c),
                    'b' => text.push('\u{8}'),
                    'f' => text.push('\u{c}'),
                    'n' => text.push('\n'),
                    'r' => text.push('\r'),
                    't' => text.push('\t'),
                    c => panic!("\\{c} in a string"),
                },
                c => {
                    assert!(c >= ' ', "a control character in a string");
                    text.push(c);
                }
            }
        }
    }
}
