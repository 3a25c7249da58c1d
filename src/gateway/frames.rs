//! Tells the data of a WebSocket from its pings.

/// Walks over the frames of one direction (RFC 6455, section 5.2), and looks at nothing but their kind and length.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
    data: bool,
    masked: bool,
    /// Bytes of the frame that are still to come, once its length is known.
    rest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Kind,
    Length,
    /// So many more bytes of a long length.
    LongLength(u8),
    Rest,
}

impl Frames {
    /// Whether any of these bytes is a data frame's: text, binary, or the continuation of one.
    pub(super) fn walk(&mut self, mut bytes: &[u8]) -> bool {
        let mut moved = false;
        while let Some((&byte, after)) = bytes.split_first() {
            bytes = after;
            match self.at {
                At::Kind => {
                    self.data = byte & 0x0f <= 2;
                    self.at = At::Length;
                }
                At::Length => {
                    self.masked = byte & 0x80 != 0;
                    match byte & 0x7f {
                        126 => self.at = At::LongLength(2),
                        127 => self.at = At::LongLength(8),
                        length => self.begin(u64::from(length)),
                    }
                }
                At::LongLength(left) => {
                    self.rest = (self.rest << 8) | u64::from(byte);
                    match left {
                        0 | 1 => self.begin(self.rest),
                        _ => self.at = At::LongLength(left - 1),
                    }
                }
                At::Rest => {
                    let here = usize::try_from(self.rest - 1).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    self.pass(here as u64 + 1);
                }
            }
            moved |= self.data;
        }
        moved
    }

    fn begin(&mut self, length: u64) {
        self.rest = length.saturating_add(if self.masked { 4 } else { 0 });
        self.at = At::Rest;
        self.pass(0);
    }

    fn pass(&mut self, bytes: u64) {
        self.rest = self.rest.saturating_sub(bytes);
        if self.rest == 0 {
            self.at = At::Kind;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, masked: bool, length: usize) -> Vec<u8> {
        let mask = u8::from(masked) << 7;
        let mut bytes = vec![0x80 | kind];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..126), _) => bytes.push(mask | short),
            (_, Ok(long)) => {
                bytes.push(mask | 0x7e);
                bytes.extend(long.to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        // A payload that would be taken for data frames.
        bytes.extend(std::iter::repeat_n(1, length + if masked { 4 } else { 0 }));
        bytes
    }

    proptest! {
        #[test]
        fn frames_are_told_apart_however_they_are_cut(
            frames in prop::collection::vec((0..16_u8, any::<bool>(), prop_oneof![0..200_usize, 65_000..70_000_usize]), 1..6),
            piece in 1..300_usize,
        ) {
            let mut walk = Frames::default();
            for (kind, masked, length) in frames {
                let bytes = frame(kind, masked, length);
                for piece in bytes.chunks(piece) {
                    prop_assert_eq!(walk.walk(piece), kind <= 2);
                }
            }
        }
    }

    #[test]
    fn data_behind_a_ping_is_seen() {
        let bytes = [frame(9, true, 4), frame(1, true, 4)].concat();
        assert!(Frames::default().walk(&bytes));
        assert!(!Frames::default().walk(&frame(9, true, 4)));
    }
}
