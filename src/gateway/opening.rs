//! What a client says first in a WebSocket: read frame by frame (RFC 6455, section 5.2), and kept for the engine as it came.

use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;

/// What is read ahead of the engine, in bytes: more than any first message but one of sound or pictures has.
const LIMIT: usize = 256 * 1024;

/// The longest payload of a ping or of a close, in bytes (section 5.5).
const CONTROL_LIMIT: usize = 125;

/// The first words of a client.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// Data frames as they came.
    said: BytesMut,
    /// What of the next frame has come.
    pub(super) tail: BytesMut,
    /// What the first message says, as far as it has come.
    message: Vec<u8>,
    is_whole: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first message is whole.
    Message,
    /// The client asks whether we are there; with what it wants to hear.
    Ping(Bytes),
    /// The client leaves.
    Close,
    /// Nothing that is whole.
    More,
    /// As much as is read ahead.
    Full,
}

/// It speaks another language.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client's bytes are no frames of a WebSocket")]
pub(super) struct NoFrame;

struct Frame {
    kind: u8,
    is_last: bool,
    payload: Vec<u8>,
    length: usize,
}

impl Opening {
    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.said.len() + self.tail.len() < LIMIT
    }

    /// Takes in the next frame that is whole.
    pub(super) fn step(&mut self) -> Result<Step, NoFrame> {
        loop {
            let Some(frame) = frame(&self.tail)? else {
                return Ok(if self.has_room() { Step::More } else { Step::Full });
            };
            let bytes = self.tail.split_to(frame.length);
            match frame.kind {
                0..=2 => {
                    self.said.extend_from_slice(&bytes);
                    if !self.is_whole {
                        self.message.extend_from_slice(&frame.payload);
                        self.is_whole = frame.is_last;
                        if self.is_whole {
                            return Ok(Step::Message);
                        }
                    }
                }
                8 => return Ok(Step::Close),
                9 => return Ok(Step::Ping(frame.payload.into())),
                // Nobody asked for a pong.
                10 => {}
                _ => return Err(NoFrame),
            }
        }
    }

    /// The model that the first message names: vLLM's `session.update` has it at the top, `OpenAI`'s in its session.
    pub(super) fn model(&self) -> Option<String> {
        let said: Value = serde_json::from_slice(self.message.get(..).filter(|_| self.is_whole)?).ok()?;
        ["/model", "/session/model"].iter().find_map(|place| said.pointer(place)?.as_str()).map(str::to_owned)
    }

    /// All that the engine is to hear: whole frames, and what of the next one has come.
    pub(super) fn into_parts(self) -> (Bytes, Bytes) {
        (self.said.freeze(), self.tail.freeze())
    }
}

/// The first frame, if it is whole.
fn frame(bytes: &[u8]) -> Result<Option<Frame>, NoFrame> {
    let mut rest = bytes;
    if rest.remaining() < 2 {
        return Ok(None);
    }
    let (first, second) = (rest.get_u8(), rest.get_u8());
    let kind = first & 0x0f;
    // Without a mask it is no client; the other bits are of extensions, and none was agreed on.
    if second & 0x80 == 0 || first & 0x70 != 0 {
        return Err(NoFrame);
    }
    let length = match second & 0x7f {
        126 if rest.remaining() >= 2 => u64::from(rest.get_u16()),
        127 if rest.remaining() >= 8 => rest.get_u64(),
        126 | 127 => return Ok(None),
        short => u64::from(short),
    };
    let length = usize::try_from(length).map_err(|_| NoFrame)?;
    if kind >= 8 && (length > CONTROL_LIMIT || first & 0x80 == 0) {
        return Err(NoFrame);
    }
    let Some((mask, rest)) = rest.split_at_checked(4) else { return Ok(None) };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    let length = bytes.len() - rest.len() + length;
    Ok(Some(Frame { kind, is_last: first & 0x80 != 0, payload, length }))
}

/// The frame of a server's pong.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    control(0x8a, payload)
}

/// The frame with which a server ends a WebSocket, and says why.
pub(super) fn close(code: u16, why: &str) -> Vec<u8> {
    let room = CONTROL_LIMIT - 2;
    let why = why.get(..why.floor_char_boundary(room)).unwrap_or_default();
    control(0x88, &[&code.to_be_bytes(), why.as_bytes()].concat())
}

fn control(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or_default();
    let mut frame = vec![kind, length];
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test")]
mod tests {
    use proptest::prelude::*;
    use test_case::test_case;

    use super::*;

    /// As a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4_u8];
        let mut bytes = vec![first];
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(short @ ..126), _) => bytes.push(0x80 | short),
            (_, Ok(long)) => {
                bytes.push(0x80 | 0x7e);
                bytes.extend(long.to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn steps(bytes: &[u8], piece: usize) -> (Vec<Step>, Opening) {
        let (mut opening, mut steps) = (Opening::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            opening.tail.extend_from_slice(piece);
            loop {
                match opening.step().unwrap() {
                    Step::More => break,
                    step => steps.push(step),
                }
            }
        }
        (steps, opening)
    }

    proptest! {
        #[test]
        fn a_message_is_heard_however_it_is_cut(text in "[a-z]{0,400}", at in 0..400_usize, piece in 1..99_usize) {
            let said = format!(r#"{{"type":"session.update","session":{{"model":"{text}"}}}}"#);
            let (front, back) = said.as_bytes().split_at(at.min(said.len()));
            let data = [masked(0x01, front), masked(0x80, back)];
            let bytes = [data[0].clone(), masked(0x89, b"there?"), masked(0x8a, b""), data[1].clone(), vec![0x82]].concat();
            let (steps, opening) = steps(&bytes, piece);
            prop_assert_eq!(steps, [Step::Ping(Bytes::from_static(b"there?")), Step::Message]);
            prop_assert_eq!(opening.model(), Some(text));
            let (said, tail) = opening.into_parts();
            prop_assert_eq!((said.to_vec(), tail.to_vec()), (data.concat(), vec![0x82]));
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let mut opening = Opening::default();
            opening.tail.extend_from_slice(&bytes);
            while let Ok(Step::Message | Step::Ping(_)) = opening.step() {}
        }
    }

    #[test_case(r#"{"type":"session.update","model":"m"}"# => Some("m".to_owned()); "at the top")]
    #[test_case(r#"{"type":"session.update","session":{"model":"m"}}"# => Some("m".to_owned()); "in the session")]
    #[test_case(r#"{"type":"session.update","model":7}"# => None; "no text")]
    #[test_case("hello" => None; "no JSON")]
    fn a_message_names_its_model(text: &str) -> Option<String> {
        steps(&masked(0x81, text.as_bytes()), 1000).1.model()
    }

    #[test]
    fn what_is_too_long_to_be_read_ahead_is_told() {
        let (mut opening, long) = (Opening::default(), vec![0; LIMIT + 1]);
        opening.tail.extend(masked(0x82, &long).into_iter().take(LIMIT));
        assert_eq!(opening.step(), Ok(Step::Full));
        assert_eq!(opening.model(), None);
    }

    #[test_case(&[0x81, 0x01, 0x61]; "not masked")]
    #[test_case(&masked(0xc1, b"x"); "of an extension")]
    #[test_case(&masked(0x83, b"x"); "of no known kind")]
    #[test_case(&masked(0x09, b"x"); "a ping in pieces")]
    #[test_case(&masked(0x89, &[0; 126]); "a long ping")]
    fn what_is_no_frame_is_refused(bytes: &[u8]) {
        let mut opening = Opening::default();
        opening.tail.extend_from_slice(bytes);
        assert_eq!(opening.step(), Err(NoFrame));
    }

    #[test]
    fn a_reason_is_cut_between_letters() {
        let frame = close(1008, &"é".repeat(100));
        assert_eq!((frame.first(), frame.get(1)), (Some(&0x88), Some(&124)));
        assert!(std::str::from_utf8(frame.get(4..).unwrap()).is_ok());
    }
}
