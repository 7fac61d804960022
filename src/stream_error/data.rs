//! A stream error as data of serde.

use serde::{Deserialize, Serialize};

use super::{StreamError, Words};
use crate::condition::Condition;

#[derive(Serialize, Deserialize)]
pub(super) struct Data {
    condition: Condition,
    #[serde(default)]
    unknown_condition: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    application: Option<String>,
}

impl From<StreamError> for Data {
    fn from(StreamError { condition, words }: StreamError) -> Self {
        let Words { unknown, detail, text, application } = words.map_or_else(Words::default, |words| *words);
        Self { condition, unknown_condition: unknown, detail, text, application }
    }
}

impl From<Data> for StreamError {
    fn from(Data { condition, unknown_condition, detail, text, application }: Data) -> Self {
        let words = Words { unknown: unknown_condition, detail, text, application };
        Self { condition, words: (words != Words::default()).then(|| Box::new(words)) }
    }
}
