//! yamux's frames, and any that are wrong.

use proptest::prelude::*;

pub(crate) const DATA: u8 = 0;
pub(crate) const UPDATE: u8 = 1;
pub(crate) const PING: u8 = 2;

pub(crate) const SYN: u16 = 1;
pub(crate) const ACK: u16 = 2;
pub(crate) const FIN: u16 = 4;
pub(crate) const RST: u16 = 8;

/// What each side may send on a new stream, by the specification.
pub(crate) const WINDOW: usize = 256 * 1024;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) stream: u32,
    /// Of data: how much follows.
    pub(crate) length: u32,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u16, stream: u32, length: u32) -> Self {
        Self { kind, flags, stream, length, body: Vec::new() }
    }

    pub(crate) fn data(flags: u16, stream: u32, body: Vec<u8>) -> Self {
        let length = u32::try_from(body.len()).expect("a short body");
        Self { body, ..Self::new(DATA, flags, stream, length) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0, self.kind];
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        bytes.extend(&self.body);
        bytes
    }

    /// The next one, or nothing at a proper end.
    pub(crate) fn read(from: &mut impl std::io::Read) -> Option<Self> {
        let mut header = [0; 12];
        from.read_exact(&mut header).ok()?;
        let [version, kind, flags @ .., _, _, _, _, _, _, _, _] = header;
        assert!(version == 0 && kind <= 3, "{header:?}");
        let word = |at: usize| header.iter().skip(at).take(4).fold(0, |word, byte| word << 8 | u32::from(*byte));
        let mut frame = Self::new(kind, u16::from_be_bytes(flags), word(4), word(8));
        if kind == DATA {
            frame.body = vec![0; frame.length as usize];
            from.read_exact(&mut frame.body).expect("a whole frame");
        }
        Some(frame)
    }
}

/// Frames as a good client sends them: some streams, each opened, filled a little, and perhaps ended.
pub(crate) fn good() -> impl Strategy<Value = Vec<u8>> {
    let stream = (prop::collection::vec(any::<u8>(), 0..2000), prop_oneof![Just(0), Just(FIN), Just(RST)]);
    prop::collection::vec(stream, 1..4).prop_map(|streams| {
        let frames = (1..).step_by(2).zip(streams).flat_map(|(number, (body, end))| {
            [Frame::new(UPDATE, SYN, number, 0), Frame::data(0, number, body), Frame::new(UPDATE, end, number, 0)]
        });
        frames.flat_map(|frame| frame.bytes()).collect()
    })
}

/// A frame that may be wrong in every way.
pub(crate) fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![Just(0_u32), 1..64_u32, Just(256 * 1024), any::<u32>()];
    let version = prop_oneof![20 => Just(0_u8), 1 => any::<u8>()];
    (version, 0..5_u8, 0..16_u16, 0..6_u32, length, prop::collection::vec(any::<u8>(), 0..64)).prop_map(
        |(version, kind, flags, stream, length, body)| {
            let mut frame = vec![version, kind];
            frame.extend(flags.to_be_bytes());
            frame.extend(stream.to_be_bytes());
            frame.extend(length.to_be_bytes());
            frame.extend(body.iter().take(if kind == DATA { length as usize } else { 0 }));
            frame
        },
    )
}
