// The stream error that a program asks for in its options.

use std::ffi::c_char;

use super::guard::{self, INVALID, Refusal};
use crate::{
    framing::{Frame, Framer},
    stream_error::StreamError,
};

/// The members of a struct that make a stream error.
pub(super) struct Words {
    pub(super) condition: *const c_char,
    pub(super) text: *const c_char,
    pub(super) address: *const c_char,
    pub(super) element: *const c_char,
}

impl Words {
    /// # Safety
    /// The strings are NULL, or end in NUL.
    pub(super) unsafe fn to_rust(&self) -> Result<Option<StreamError>, Refusal> {
        // SAFETY: as the caller promises.
        let [condition, text, address, element] = unsafe {
            [
                guard::text(self.condition)?,
                guard::text(self.text)?,
                guard::text(self.address)?,
                guard::text(self.element)?,
            ]
        };
        let mut error = match (condition, address, element) {
            (None, None, None) if text.is_none() => return Ok(None),
            (None, ..) => return Err(INVALID),
            (Some("see-other-host"), Some(address), _) => StreamError::see_other_host(address)?,
            (Some(_), Some(_), _) => return Err(INVALID),
            (Some("undefined-condition"), None, Some(element)) => StreamError::undefined(element),
            (Some(condition), None, _) => StreamError::new(condition.parse().map_err(|_| INVALID)?)?,
        };
        if let Some(element) = element {
            if !is_one_element(element) {
                return Err(INVALID);
            }
            error = error.with_application(element);
        }
        if let Some(text) = text {
            error = error.with_text(text);
        }
        Ok(Some(error))
    }
}

/// Whether `xml` is one whole element. It is sent as it is, so it must not end the stream or make it malformed.
fn is_one_element(xml: &str) -> bool {
    let mut rest = xml.as_bytes();
    let mut framer = Framer::inside(None).limit(usize::MAX);
    matches!(framer.next(&mut rest), Some(Frame::Stanza(element)) if element.len() == xml.len())
}
