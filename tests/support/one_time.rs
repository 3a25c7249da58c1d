//! One-time codes, as the card or the telephone of a cluster's user computes them.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// The bytes that hexadecimal digits stand for.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    digits.as_bytes().chunks(2).map(|pair| byte(pair).expect("two hexadecimal digits")).collect()
}

/// The one-time code of RFC 4226, six digits long.
pub(super) fn hotp(secret: &[u8], counter: u64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("a key of any length will do");
    mac.update(&counter.to_be_bytes());
    let digest: [u8; 20] = mac.finalize().into_bytes().into();
    let start = usize::from(digest.last().copied().unwrap_or_default() & 15);
    let word = digest.get(start..start + 4).and_then(|word| word.try_into().ok()).expect("15 + 4 < 20");
    format!("{:06}", (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000)
}
