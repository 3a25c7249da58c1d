//! What a person answers. It is wiped from memory, and never shown.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The answers to a question's prompts, in their order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answers {
    /// The number of the question. What is answered to a question that is not open any more is passed over.
    pub number: u64,
    /// One for each prompt; none where the person will not answer.
    pub answers: Option<Vec<Answer>>,
}

/// One line that a person typed.
///
/// On the wire it is a list of bytes: a reader of JSON copies a string with an escape to memory that nobody wipes.
#[derive(Clone, Debug)]
pub struct Answer(SecretString);

/// The longest answer, in bytes.
const LONGEST: usize = 1024;

impl Answer {
    /// Takes it as it was typed.
    #[must_use]
    pub fn new(text: SecretString) -> Self {
        Self(text)
    }

    /// What was typed.
    #[must_use]
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.expose_secret().bytes())
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Bytes)
    }
}

struct Bytes;

impl<'de> de::Visitor<'de> for Bytes {
    type Value = Answer;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the bytes of a line")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut bytes: A) -> Result<Self::Value, A::Error> {
        // Room for all of it at once: what grows leaves copies behind.
        let mut text = secrecy::zeroize::Zeroizing::new(Vec::with_capacity(LONGEST));
        while let Some(byte) = bytes.next_element::<u8>()? {
            if text.len() == LONGEST {
                return Err(de::Error::custom("the answer is too long"));
            }
            text.push(byte);
        }
        let text = str::from_utf8(&text).map_err(|_| de::Error::custom("the answer is no text"))?;
        Ok(Answer(SecretString::from(text)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn an_answer_passes_whole_and_is_not_shown() {
        let typed = "s\u{e9}same \"\\";
        let answers = Answers { number: 7, answers: Some(vec![Answer::new(SecretString::from(typed))]) };
        let line = serde_json::to_string(&answers).unwrap();
        assert_eq!(line, r#"{"number":7,"answers":[[115,195,169,115,97,109,101,32,34,92]]}"#);
        assert!(!format!("{answers:?}").contains("same"));
        let read: Answers = serde_json::from_str(&line).unwrap();
        let read: Vec<_> = read.answers.unwrap().into_iter().map(Answer::into_secret).collect();
        assert_eq!(read.first().unwrap().expose_secret(), typed);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let long = format!("[[{}]]", vec!["1"; LONGEST + 1].join(","));
        for bad in ["[\"s\"]", "[[255]]", "[[256]]", "[[-1]]", long.as_str()] {
            let line = format!(r#"{{"number":7,"answers":{bad}}}"#);
            assert!(serde_json::from_str::<Answers>(&line).is_err(), "{bad}");
        }
    }
}
