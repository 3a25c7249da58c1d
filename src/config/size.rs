//! Amounts of bytes as users write them: `140GB`, `130GiB`, or a bare number of bytes.

/// The units, with their bytes: those of ten, as disks are sold, and those of two.
const UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads an amount of bytes; none where it is none.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit = unit.trim();
    let unit = if unit.is_empty() { "b" } else { unit };
    let bytes = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let places = u32::try_from(fraction.len()).ok().filter(|places| (1..=9).contains(places))?;
    let part = u128::from(bytes) * u128::from(fraction.parse::<u64>().ok()?) / 10_u128.pow(places);
    let sum = u128::from(whole.parse::<u64>().ok()?).checked_mul(u128::from(bytes))?.checked_add(part)?;
    u64::try_from(sum).ok().filter(|sum| *sum > 0)
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case("140GB", Some(140_000_000_000))]
    #[test_case("1.5 GiB", Some(1_610_612_736); "fraction and space")]
    #[test_case("1234", Some(1_234))]
    #[test_case("0", None)]
    #[test_case("GB", None; "no number")]
    #[test_case("1.GB", None; "nothing after the point")]
    #[test_case("1 parsec", None; "no unit of bytes")]
    #[test_case("99999999999TB", None; "too much")]
    fn sizes(text: &str, expected: Option<u64>) {
        assert_eq!(parse_size(text), expected);
    }
}
